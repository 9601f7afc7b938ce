"""The archive in S3, by the extra `s3`: django-storages with bounds on every call.

Credentials are found as boto3 does: environment, profile, role.
"""

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage

CONNECT_TIMEOUT = 3  # seconds
READ_TIMEOUT = 30  # seconds of silence; S3 may think for some after the last part of an upload
TRIES = 3  # of a call; a step that fails is found again by the pump


class ArchiveS3(S3Storage):  # type: ignore[misc]  # the package is untyped
    """Private by the bucket's own rules; a file that is written again replaces what is there."""

    def get_default_settings(self) -> dict[str, Any]:
        bounds = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            signature_version="s3v4",
        )
        return {**super().get_default_settings(), "client_config": bounds}
