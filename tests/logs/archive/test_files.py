"""Files of the archive: in a folder or in S3, NDJSON or Parquet, and what is in the index was read back."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import UUID

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pytest_django.fixtures import Settings

from sendmsg.environment import Refused, storage
from sendmsg.errors import ArchiveDamaged
from sendmsg.logs.archive import files
from sendmsg.logs.archive.columns import Column
from sendmsg.logs.archive.files import Place
from sendmsg.logs.models import ArchiveFile

pytestmark = pytest.mark.django_db(databases=["logs"])
COLUMNS = {"id": Column.TEXT, "number": Column.NUMBER, "text": Column.TEXT}
PLACE = Place(ArchiveFile.Kind.EVENTS, UUID(int=1), date(2020, 1, 5), COLUMNS)
ROWS = [
    (UUID(int=number), f'{{"id": "{UUID(int=number)}", "number": {number}, "text": "ü"}}') for number in range(1000)
]


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 that is only ours, with an empty bucket, which is the archive; its name."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", region_name="us-east-1", endpoint_url=url).create_bucket(Bucket="cold")
    wanted = storage(f"s3://cold/sendmsg?region=us-east-1&endpoint={url}")
    settings.STORAGES = {**settings.STORAGES, "archive": wanted}
    yield url
    server.stop()


def numbers(entry: ArchiveFile) -> list[int]:
    return [line["number"] for line in files.read(entry)]


@pytest.fixture(params=["ndjson", "parquet"])
def either_format(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.ARCHIVE_FORMAT = request.param


@pytest.mark.usefixtures("either_format")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_was_written_is_read_again(archive: Path, settings: Settings, compression: str) -> None:
    settings.ARCHIVE_COMPRESSION = compression

    entry = files.write(PLACE, ROWS)

    assert numbers(entry) == list(range(1000))
    assert (entry.rows, entry.bytes) == (1000, (archive / entry.name).stat().st_size)
    assert entry.bytes < 20_000


@pytest.mark.usefixtures("archive", "either_format")
def test_the_lines_about_one_message_are_found() -> None:
    entry = files.write(PLACE, ROWS)

    [found] = [line for line in files.read(entry, str(UUID(int=77))) if line["id"] == str(UUID(int=77))]
    assert (found["number"], found["text"]) == (77, "ü")


def test_a_file_is_read_by_what_it_is_and_not_by_what_is_set(archive: Path, settings: Settings) -> None:
    entry = files.write(PLACE, ROWS)
    settings.ARCHIVE_COMPRESSION = "zstd"
    files.verify(entry)
    settings.ARCHIVE_FORMAT = "parquet"
    files.verify(entry)

    assert numbers(entry) == list(range(1000))


@pytest.mark.usefixtures("archive")
def test_the_same_lines_make_the_same_file() -> None:
    once, again = files.write(PLACE, ROWS).sha256, files.write(PLACE, ROWS).sha256

    assert once == again


@pytest.mark.usefixtures("archive", "either_format")
def test_a_file_whose_rows_are_still_there_is_replaced_and_one_whose_rows_are_gone_is_not() -> None:
    files.write(PLACE, ROWS[:1])
    first = files.write(PLACE, ROWS)
    ArchiveFile.objects.update(emptied_at="2026-01-01T00:00:00Z")
    second = files.write(PLACE, ROWS[:2])

    assert [(entry.part, entry.rows) for entry in ArchiveFile.objects.all()] == [(1, 1000), (2, 2)]
    assert (numbers(first), numbers(second)) == (list(range(1000)), [0, 1])


@pytest.mark.usefixtures("archive")
def test_a_finished_file_that_the_index_has_lost_is_not_written_over() -> None:
    lost = files.write(PLACE, ROWS)
    ArchiveFile.objects.all().delete()  # as by a restored backup

    entry = files.write(PLACE, ROWS[:1])

    assert entry.part == 2
    assert (numbers(lost), numbers(entry)) == (list(range(1000)), [0])


@pytest.mark.usefixtures("either_format")
def test_a_file_that_was_changed_or_is_gone_is_noticed(archive: Path) -> None:
    entry = files.write(PLACE, ROWS)
    path = archive / entry.name
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(ArchiveDamaged):
        files.verify(entry)
    with pytest.raises(ArchiveDamaged):
        numbers(entry)
    path.unlink()
    with pytest.raises(ArchiveDamaged):
        numbers(entry)


def test_a_file_is_deleted_with_its_manifest_and_its_entry(archive: Path) -> None:
    files.delete(files.write(PLACE, ROWS))

    assert [path for path in archive.rglob("*") if path.is_file()] == []
    assert not ArchiveFile.objects.exists()


@pytest.mark.usefixtures("either_format")
def test_s3_keeps_files_as_a_folder_does(bucket: str) -> None:
    files.write(PLACE, ROWS[:1])
    entry = files.write(PLACE, ROWS)

    files.verify(entry)
    assert numbers(entry) == list(range(1000))
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=bucket)
    keys = [one["Key"] for one in client.list_objects_v2(Bucket="cold")["Contents"]]
    assert keys == [f"sendmsg/{entry.name}", f"sendmsg/{entry.name}.manifest.json"]
    files.delete(entry)
    assert "Contents" not in client.list_objects_v2(Bucket="cold")
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        *("/var/archive", "file://var/archive", "file:///a?b=c", "s3://", "s3:///prefix"),
        *("s3://cold?key=secret", "https://cold", "file:"),
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        storage(url)


def test_a_folder_may_have_spaces() -> None:
    assert storage("file:///var/lib/my%20archive")["OPTIONS"]["location"] == "/var/lib/my archive"
