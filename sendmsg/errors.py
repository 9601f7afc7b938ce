"""The exception tree of SendMSG.

    SendMSGError
    ├── ConfigurationError     something an operator set can't work; the text says what to change
    │   └── UnknownProvider    a connection names a provider that has no adapter
    ├── CallFailed             an HTTP call to somebody else's server brought no answer (sendmsg.http)
    │   ├── NotSent            nothing left this machine: trying again, or elsewhere, is safe
    │   └── OutcomeUnknown     the request may have been acted upon: never repeat it blindly
    ├── MalformedAnswer        the answer to an HTTP call can't be read (sendmsg.http)
    ├── SignatureRefused       a webhook whose signature does not prove who sent it
    ├── MalformedWebhook       a signed webhook that can't be read
    ├── VerifierUnavailable    what a signature is checked with could not be fetched: neither taken nor refused
    ├── BufferUnavailable      a webhook could not be stored durably, so it must not be acknowledged
    ├── PassedOn               a request that a short way in does not serve: nothing was done, the site begins anew
    ├── ArchiveDamaged         a file of the archive is not what was written: nothing was deleted
    ├── ArchiveBusy            somebody else writes to the archive just now
    └── StartFailed            the one-command mode did not come up; the text says which part, and what its log says

What a provider answers is not an error but a value: `dispatch.providers.base.Outcome`. What the API answers is a
`sendmsg.api.problems.Problem`. Each leaf carries a stable `code` that may be stored and branched on.
"""


class SendMSGError(Exception):
    """Root of the tree. `code` is stable, the text is for people and holds no secret."""

    code = "error"

    def __init__(self, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code


class ConfigurationError(SendMSGError):
    code = "configuration"


class UnknownProvider(ConfigurationError):
    code = "unknown_provider"


class CallFailed(SendMSGError):
    code = "call_failed"


class NotSent(CallFailed):
    code = "not_sent"


class OutcomeUnknown(CallFailed):
    """`status`: of the answer, if its head arrived before the rest went wrong."""

    code = "outcome_unknown"

    def __init__(self, detail: str = "", *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(detail, code=code)
        self.status = status


class MalformedAnswer(SendMSGError):
    code = "malformed_answer"


class SignatureRefused(SendMSGError):
    code = "signature_refused"


class MalformedWebhook(SendMSGError):
    code = "malformed_webhook"


class VerifierUnavailable(SendMSGError):
    code = "verifier_unavailable"


class BufferUnavailable(SendMSGError):
    code = "buffer_unavailable"


class PassedOn(SendMSGError):
    code = "passed_on"


class ArchiveDamaged(SendMSGError):
    code = "archive_damaged"


class ArchiveBusy(SendMSGError):
    code = "archive_busy"


class StartFailed(SendMSGError):
    code = "start_failed"
