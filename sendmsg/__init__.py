"""SendMSG: a self-hosted messaging backend in front of every SMS and WhatsApp provider."""

__version__ = "0.1.0"
