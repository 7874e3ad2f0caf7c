"""A fit is saved and loaded bit for bit; what is no such file is refused in a sentence."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest

import jaxem
from jaxem import _storage, saving
from jaxem._status import Status


@pytest.fixture(scope="module")
def fitted(fitted):
    """With a second optimum, as most fits have."""
    return dataclasses.replace(fitted, runner_up=fitted.params.take(np.array([2, 0, 1])))


@pytest.fixture
def path(tmp_path, fitted):
    path = tmp_path / "model.npz"
    fitted.save(path)
    return path


def same(one, other):
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_round_trip_is_bit_for_bit(path, fitted, faithful):
    again = jaxem.load(path)
    for field in dataclasses.fields(fitted):
        one, other = getattr(again, field.name), getattr(fitted, field.name)
        if field.name in saving.NOT_SAVED:
            assert one is None
        elif field.name in ("params", "runner_up"):
            assert one.asdict().keys() == other.asdict().keys()
            assert all(same(array, other.asdict()[name]) for name, array in one.asdict().items())
        else:
            assert type(one) is type(other)
            assert same(one, other), field.name
    np.testing.assert_array_equal(again.predict_proba(faithful), fitted.predict_proba(faithful))
    assert again.bic == fitted.bic


def test_every_kind_of_fit_travels(tmp_path, faithful, earthquakes):
    for number, fit in enumerate(
        [
            jaxem.fit(earthquakes, "poisson", 2, num_restarts=2),
            jaxem.fit(faithful.assign(one=1.0), "VII", 1),
            jaxem.fit(faithful["waiting"], "E", 2, start=np.eye(2)[(faithful["waiting"] > 65).astype(int)]),
        ]
    ):
        fit.save(tmp_path / f"{number}.npz")
        again = jaxem.load(tmp_path / f"{number}.npz")
        assert (again.log_likelihood, again.warnings, again.trust) == (fit.log_likelihood, fit.warnings, fit.trust)
        assert again.input_columns == fit.input_columns


def test_nothing_is_pickled_and_nothing_left_behind(path):
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(path, fitted, monkeypatch):
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(_storage.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")
def test_a_file_has_the_permissions_of_any_new_file(tmp_path, fitted, monkeypatch):
    """The mask is never touched: it is the process's, and files that another thread makes meanwhile would have no mask."""
    monkeypatch.setattr(os, "umask", None)
    (tmp_path / "new").touch()
    fitted.save(tmp_path / "model.npz")
    assert (tmp_path / "model.npz").stat().st_mode == (tmp_path / "new").stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")
def test_a_link_leads_to_what_is_written(tmp_path, fitted):
    (tmp_path / "models").mkdir()
    link, file = tmp_path / "newest.npz", tmp_path / "models" / "7.npz"
    link.symlink_to(file)
    for _ in range(2):  # first there is nothing yet where it leads
        fitted.save(link)
        assert link.is_symlink()
        assert [file.name for file in file.parent.iterdir()] == ["7.npz"]
    assert jaxem.load(link).bic == fitted.bic
    link.unlink()
    link.symlink_to(tmp_path / "none" / "8.npz")
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*none$"):
        fitted.save(link)


def test_json_holds_every_digit(tmp_path, fitted, faithful):
    text = fitted.to_json(tmp_path / "model.json")
    assert (tmp_path / "model.json").read_text() == text + "\n"
    odd = dataclasses.replace(fitted, log_likelihood=np.nan, history=np.array([-np.inf, np.nan, 1 / 3]))
    for fit, again in [
        (fitted, jaxem.Fit.from_json(text)),
        (fitted, jaxem.load(tmp_path / "model.json")),
        (odd, jaxem.Fit.from_json(odd.to_json())),
    ]:
        np.testing.assert_equal(
            dict(vars(again), params=0, runner_up=0, seconds=0), dict(vars(fit), params=0, runner_up=0, seconds=0)
        )
        for name, array in fit.params.asdict().items():
            np.testing.assert_array_equal(again.params.asdict()[name], array)
    np.testing.assert_array_equal(jaxem.load(tmp_path / "model.json").predict_proba(faithful), fitted.predict_proba(faithful))


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"format": "jaxem.Fit", "arrays": {}}', '{"format": "jaxem.Fit", "arrays": {"a": "b"}}']
)
def test_json_of_another_kind_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match="the text is not a saved jaxem fit"):
        jaxem.Fit.from_json(text)
    with pytest.raises(ValueError, match=r"is damaged; jaxem\.load\(path\) reads a file$"):
        jaxem.Fit.from_json(str(tmp_path / "model.json"))
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"model\.json is not a saved jaxem fit"):
        jaxem.load(tmp_path / "model.json")


@pytest.mark.parametrize("keep", [0, 1, 100, -200])
def test_a_damaged_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.npz is not a saved jaxem fit, or is damaged"):
        jaxem.load(path)


def test_changed_bytes_are_noticed(path):
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 50] = bytes(50)
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="is damaged"):
        jaxem.load(path)


def test_flipped_bits_are_noticed_or_change_nothing(path, rng):
    """Wherever they are: the archive's own directory has no check, and its library an error for every field of it."""
    raw, whole, told = path.read_bytes(), jaxem.load(path).to_json(), 0
    for _ in range(300):
        damaged = bytearray(raw)
        for bit in rng.integers(8 * len(raw), size=rng.integers(1, 4)):
            damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert jaxem.load(path).to_json() == whole
        except ValueError:
            told += 1
    assert told > 200


DAMAGES = {
    "no covariances": (
        lambda record: record["arrays"].pop("params.covariances"),
        r"covariances must have shape .*, got nothing",
    ),
    "means": (
        lambda record: record["arrays"].update({"params.means": [[1.0]]}),
        r"means must have shape \(3, 2\), got \(1, 1\)",
    ),
    "components": (lambda record: record["fit"].update(num_components=2), r"weights must have shape \(2,\), got \(3,\)"),
    "noise": (lambda record: record["fit"]["terms"].update(noise=[1]), r"is damaged"),
    "flat noise": (
        lambda record: record["fit"]["terms"].update(noise={"origin": [0], "edges": [1]}),
        r"noise must have shape \(2,\)",
    ),
    "columns": (lambda record: record["fit"].update(columns=["eruptions", 3]), r"columns is \('eruptions', 3\)"),
    "other columns": (lambda record: record["fit"].update(columns=["eruptions", "x"]), r"its columns are others"),
    "family": (lambda record: record["fit"].update(family=None), r"family is None"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_would_fail_later_is_refused_at_once(fitted, name):
    damage, told = DAMAGES[name]
    record = json.loads(fitted.to_json())
    damage(record)
    with pytest.raises(
        ValueError, match=f"^the text is not a saved jaxem fit, or is damaged .*{told.removeprefix('is damaged')}"
    ):
        jaxem.Fit.from_json(json.dumps(record))


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "{}"])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"data\.csv is not a saved jaxem fit"):
        jaxem.load(path)


def test_another_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    with pytest.raises(ValueError, match=r"a\.npz is not a saved jaxem fit"):
        jaxem.load(tmp_path / "a.npz")
    _storage.write_arrays(tmp_path / "b.npz", {"format": "something else", "version": 1}, {})
    with pytest.raises(ValueError, match=r"b\.npz is not a saved jaxem fit"):
        jaxem.load(tmp_path / "b.npz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*nothing\.npz"):
        jaxem.load(tmp_path / "nothing.npz")


def test_a_missing_folder_is_named(tmp_path, fitted):
    for write in (fitted.save, fitted.to_json):
        with pytest.raises(FileNotFoundError, match=r"^no such folder: .*nowhere$"):
            write(tmp_path / "nowhere" / "model.npz")


def rewrite(path, change):
    """The file with its header changed."""
    header, arrays = _storage.read_arrays(path, "a fit")
    change(header)
    _storage.write_arrays(path, json.loads(json.dumps(header)), arrays)


def test_a_newer_version_is_refused(path):
    rewrite(path, lambda header: header.update(version=header["version"] + 1))
    with pytest.raises(ValueError, match=r"was written by a newer jaxem \(file version 4\); upgrade jaxem to read it"):
        jaxem.load(path)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("'rotation'", lambda fit: fit.update(rotation=2.0)),
        ("'rotation'", lambda fit: fit["terms"].update(rotation=2.0)),
        ("'ON_A_RIDGE'", lambda fit: fit.update(status="ON_A_RIDGE")),
    ],
)
def test_what_is_not_known_is_newer(path, what, change):
    """Even where the version was forgotten: to leave a field or a term away would change the model."""
    rewrite(path, lambda header: change(header["fit"]))
    with pytest.raises(ValueError, match=rf"was written by a newer jaxem \(this one knows nothing of {what}\); upgrade"):
        jaxem.load(path)


# Fields, statuses and terms of each version. Another list is another version, so that an older jaxem says what it cannot read.
FIRST = """
    family num_components params columns log_likelihood num_params num_rows status num_steps history sizes log_assigned num_restarts
    num_finalists replicated improved stable num_failed spurious trust warnings input_columns
    RUNNING CONVERGED MAX_STEPS NONFINITE DECREASED COLLAPSED
"""
SECOND = "closed entropy log_likelihood_of_one steepness singular_bic runner_up terms noise equal_weights prior fixed labels"
WRITTEN = {1: set(FIRST.split()), 2: set(FIRST.split()) | set(SECOND.split())}
WRITTEN[3] = WRITTEN[2] | {"categories"}


def test_the_version_says_what_is_written():
    fields = {field.name for field in dataclasses.fields(jaxem.Fit)} - set(saving.NOT_SAVED)
    assert fields | set(Status.__members__) | set(saving.TERMS) == WRITTEN[saving.FILE_VERSION]


def test_the_first_version_is_read(path, fitted):
    header, arrays = _storage.read_arrays(path, "a fit")
    older = {key: value for key, value in header["fit"].items() if key in WRITTEN[1]}
    kept = {key: array for key, array in arrays.items() if key.partition(".")[0] in WRITTEN[1]}
    assert older.keys() | {key.partition(".")[0] for key in kept} == WRITTEN[1] - set(Status.__members__)
    _storage.write_arrays(path, header | {"version": 1, "fit": older}, kept)
    again = jaxem.load(path)
    assert (again.bic, again.terms, again.runner_up, again.entropy) == (fitted.bic, {}, None, None)


@pytest.mark.parametrize("name", ["family", "status", "columns"])
def test_a_header_that_lacks_something_is_refused(path, name):
    rewrite(path, lambda header: header["fit"].pop(name))
    with pytest.raises(ValueError, match=f"is not a saved jaxem fit, or is damaged .*'{name}'"):
        jaxem.load(path)


def test_a_fit_is_equal_to_itself_alone(path, fitted):
    """And can be a key, as records of arrays cannot."""
    assert fitted == fitted
    assert jaxem.load(path) != fitted
    assert len({fitted, fitted, jaxem.load(path)}) == 2
