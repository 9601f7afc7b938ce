"""Ids of messages as SQL makes them, for tables that are filled by the million."""

ID = """(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
    || '8' || substr(md5(random()::text), 1, 15))::uuid"""
"""Like ours, version 7: they begin with the time `at`, so that indexes grow where they did last."""
