"""The sandbox provider: an HTTP server that speaks the SendMSG provider protocol and sends nothing.

The last two digits of a recipient choose the life of its message (`scenarios`); what was received is counted
(`ledger`), so that tests and benchmarks can prove that nothing was sent twice. `docs/provider-protocol.md`
has the protocol. It stands alone: nothing of Django, nor of the rest of the project, is imported.
"""
