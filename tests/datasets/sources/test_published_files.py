"""Data sets of one published file: where it is downloaded from, and that only the published content is kept."""

from __future__ import annotations

import hashlib

import pytest

from cabench.data.cache import download_folder
from cabench.datasets import medmnist, mouse_protein
from cabench.datasets.medmnist import SUBSETS, MedMnist, MedMnistConfig
from cabench.datasets.mouse_protein import MouseProtein
from cabench.errors import UserError

CONTENT = b"the published bytes"
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def published(server, monkeypatch):
    """Both files on a server of this machine: name in the download folder, builder."""
    server.files = {"octmnist_64.npz?download=1": CONTENT, "table.csv": CONTENT}
    address = medmnist.ADDRESS.rpartition("/")[2]
    monkeypatch.setattr(medmnist, "ADDRESS", server.address + address)
    monkeypatch.setitem(SUBSETS["oct"].md5, 64, MD5)
    monkeypatch.setattr(mouse_protein, "ADDRESS", f"{server.address}table.csv")
    monkeypatch.setattr(mouse_protein, "MD5", MD5)
    return {
        "medmnist/octmnist_64.npz": MedMnist(MedMnistConfig(size=64)),
        "mouse_protein/Data_Cortex_Nuclear.csv": MouseProtein(),
    }


def test_a_file_is_downloaded_once_where_the_readers_look(published, server) -> None:
    for name, builder in published.items():
        (source,) = builder.locate(None)
        assert source.files == (download_folder() / name,)
        assert source.files[0].read_bytes() == CONTENT
        assert builder.locate(None) == [source]
        assert builder.locate(download_folder()) == [source]
    assert len(server.asked) == 2


def test_a_download_that_was_cut_goes_on(published, server) -> None:
    server.cuts = [5]
    published["medmnist/octmnist_64.npz"].locate(None)
    assert [part for _, part in server.asked] == [None, "bytes=5-"]


def test_other_content_is_deleted_and_the_file_named(published, server) -> None:
    server.files = dict.fromkeys(server.files, b"something else")
    for name, builder in published.items():
        with pytest.raises(UserError, match=name.rpartition("/")[2]) as raised:
            builder.locate(None)
        assert "MD5" in str(raised.value)
        assert not any(path.is_file() for path in (download_folder() / name).parent.iterdir())


def test_addresses_are_those_of_the_owners() -> None:
    assert (
        medmnist.ADDRESS.format(name="octmnist") == "https://zenodo.org/records/10519652/files/octmnist.npz?download=1"
    )
    assert mouse_protein.ADDRESS.endswith("/experiments/datasets/Data_Cortex_Nuclear.csv")
