"""How dates and times look in the admin: sortable, with seconds, the same for everybody (UTC)."""

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s"
