"""Reads metrics as Prometheus does, off any port."""

import requests
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, float]


def scrape(port: int, token: str = "") -> Samples:
    """The samples by name and label values, with commas; nothing while nobody listens."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=5)
    except requests.RequestException:
        return {}
    assert answer.status_code == 200, answer.status_code
    return parse(answer.text)


def parse(text: str) -> Samples:
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
