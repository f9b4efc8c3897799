from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from loans import loans, written

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.regime import Regime
from steelyard.decisions import Thresholds
from steelyard.estimator import predicting
from steelyard.estimator.fitting import fit_file
from steelyard.estimator.predicting import predict_file
from steelyard.estimator.reading import FileRequest

QUICK = Regime(epochs=6, batch_size=64, optimizer="adamw", lr=3e-3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = written(loans(), tmp_path_factory.mktemp("data") / "loans.csv")
    return fit_file(FileRequest(path, "defaulted"), method="la", regime=QUICK, importance=False)[0]


@pytest.fixture
def new(tmp_path):
    return written(loans(150, seed=3).drop(columns="defaulted"), tmp_path / "new.csv")


@pytest.mark.parametrize("name", ["scored.csv", "scored.csv.gz", "scored.parquet"])
def test_rows_are_scored_in_order_whatever_the_chunks(model, new, tmp_path, monkeypatch, name):
    monkeypatch.setattr(predicting, "CHUNK", 37)
    out = tmp_path / name
    done = predict_file(model, new, out, keep=["client_id"], spread=True)
    scored = pd.read_parquet(out) if name.endswith("parquet") else pd.read_csv(out)
    frame = pd.read_csv(new)
    assert list(scored.columns) == ["client_id", "prediction", "probability_no", "probability_yes", "spread"]
    assert scored["client_id"].tolist() == frame["client_id"].tolist()
    np.testing.assert_allclose(scored[["probability_no", "probability_yes"]], model.predict_proba(frame), rtol=1e-12)
    assert scored["prediction"].tolist() == model.predict(frame).tolist()
    spread = model.spread(frame)
    np.testing.assert_allclose(
        scored["spread"], spread[np.arange(150), (scored["prediction"] == "yes").astype(int)], atol=1e-12
    )
    assert done.rows == 150
    assert done.decided == scored["prediction"].value_counts().to_dict()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("prior", [{"no": 0.5, "yes": 0.5}, "em"])
def test_another_class_mix_changes_probabilities_and_not_decisions_over_class_shares(model, new, tmp_path, prior):
    plain = predict_file(model, new, tmp_path / "a.csv")
    done = predict_file(model, new, tmp_path / "b.csv", prior=prior)
    first, second = (pd.read_csv(tmp_path / name) for name in ("a.csv", "b.csv"))
    frame = pd.read_csv(new)
    np.testing.assert_allclose(second["probability_yes"], model.predict_proba(frame, prior=prior)[:, 1], rtol=1e-9)
    assert first["prediction"].tolist() == second["prediction"].tolist()
    assert plain.prior == pytest.approx(model.prior)
    assert done.prior.sum() == pytest.approx(1)
    assert prior == "em" or (second["probability_yes"] > first["probability_yes"]).all()


def test_costs_are_expected_under_the_class_mix_of_the_rows(model, new, tmp_path):
    costly = type(model)(**{**vars(model), "thresholds": Thresholds.for_costs([[0, 1], [3, 0]])})
    predict_file(costly, new, tmp_path / "a.csv", prior={"yes": 0.6, "no": 0.4})
    scored = pd.read_csv(tmp_path / "a.csv")
    assert ((scored["probability_yes"] >= 0.25) == (scored["prediction"] == "yes")).all()


def test_the_rows_themselves_are_not_written_over(model, new):
    before = new.read_bytes()
    with pytest.raises(ArgumentError, match="would be lost"):
        predict_file(model, new, new)
    assert new.read_bytes() == before


def test_all_columns_may_be_kept(model, new, tmp_path):
    predict_file(model, new, tmp_path / "a.csv", keep=["*"])
    assert list(pd.read_csv(tmp_path / "a.csv").columns)[:6] == list(pd.read_csv(new).columns)


def test_extra_columns_are_ignored_and_unseen_categories_counted(model, tmp_path):
    frame = loans(50, seed=4)
    frame["extra"] = "x"
    frame.loc[:4, "city"] = "Ulm"
    done = predict_file(model, written(frame, tmp_path / "n.csv"), tmp_path / "a.csv")
    assert done.unseen == {"city": 5}


def test_missing_values_are_treated_as_in_training(model, tmp_path):
    frame = loans(50, seed=4)
    frame[["income", "noise", "city", "opened"]] = None
    predict_file(model, written(frame, tmp_path / "n.csv"), tmp_path / "a.csv")
    assert np.isfinite(pd.read_csv(tmp_path / "a.csv")["probability_yes"]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.rename(columns={"income": "Income"}), "no column 'income'.*'Income'"),
        (lambda f: f.drop(columns=["income", "city"]), "no column 'income' and 1 more"),
        (lambda f: f.assign(income="high"), "income.*high"),
        (lambda f: f.head(0), "no rows"),
    ],
)
def test_wrong_columns_are_one_sentence_and_leave_nothing_behind(model, tmp_path, change, said):
    path = written(change(loans(50, seed=4)), tmp_path / "n.csv")
    with pytest.raises(DataError, match=said) as caught:
        predict_file(model, path, tmp_path / "a.csv")
    assert "\n" not in str(caught.value)
    assert [found.name for found in tmp_path.iterdir()] == ["n.csv"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_that_the_model_does_not_use_are_not_needed(tmp_path, ending):
    frame = loans().assign(land="DE", version=3, remark=np.nan, note_id=[f"n{i}" for i in range(400)])
    path = written(frame, tmp_path / f"loans.{ending}")
    model, facts = fit_file(FileRequest(path, "defaulted", drop=("noise",)), method="ce", regime=QUICK, importance=False)
    unused = ["client_id", "land", "version", "remark", "note_id", "noise"]
    assert sorted(model.facts["unused"]) == sorted(unused)
    notes = {line["name"]: line["note"] for line in facts["data"]["columns"]}
    assert notes["land"] == notes["version"] == "it has the same value in every training row"
    whole = predict_file(model, path, tmp_path / "a.csv")
    done = predict_file(model, written(frame.drop(columns=unused), tmp_path / f"n.{ending}"), tmp_path / "b.csv")
    wrong = predict_file(model, written(frame.assign(land=1.5, version="x"), tmp_path / f"w.{ending}"), tmp_path / "c.csv")
    assert whole.absent == wrong.absent == () and sorted(done.absent) == sorted(unused)
    scores = [(tmp_path / name).read_text() for name in ("a.csv", "b.csv", "c.csv")]
    assert scores[0] == scores[1] == scores[2]


def test_what_cannot_be_written_is_refused(model, new, tmp_path):
    with pytest.raises(ArgumentError, match="parquet"):
        predict_file(model, new, tmp_path / "a.xlsx")
    with pytest.raises(UnknownName, match="client_id"):
        predict_file(model, new, tmp_path / "a.csv", keep=["client"])
    frame = loans(20).rename(columns={"branch": "prediction"}).assign(branch="branch 1")
    with pytest.raises(ArgumentError, match="keep"):
        predict_file(model, written(frame, tmp_path / "p.csv"), tmp_path / "a.csv", keep=["prediction"])


def untidy(number=40):
    """Rows with columns that do not survive being read and written again."""
    frame = loans(number, seed=6).drop(columns="defaulted")
    frame["code"] = [f"{i:05d}" for i in range(number)]
    frame["word"] = ["NA" if i % 2 else "null" for i in range(number)]
    frame["price"] = [f"{i},50" for i in range(number)]
    frame["count"] = pd.array([None if i % 3 else i for i in range(number)], dtype="Int64")
    return frame


def test_kept_columns_of_a_text_file_are_written_as_they_were(model, tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "CHUNK", 7)
    path = tmp_path / "n.csv"
    untidy().to_csv(path, sep=";", index=False)
    predict_file(model, path, tmp_path / "a.csv", keep=["*"])
    as_text = {"dtype": "str", "keep_default_na": False}
    before, after = pd.read_csv(path, sep=";", **as_text), pd.read_csv(tmp_path / "a.csv", **as_text)
    pd.testing.assert_frame_equal(after[before.columns], before)


def test_codes_that_begin_with_0_are_no_numbers_in_parquet_either(model, tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "CHUNK", 7)
    path = tmp_path / "n.csv"
    untidy().to_csv(path, sep=";", index=False)
    predict_file(model, path, tmp_path / "a.parquet", keep=["price", "code", "count"])
    scored = pd.read_parquet(tmp_path / "a.parquet")
    assert scored["code"].tolist() == [f"{i:05d}" for i in range(40)]
    assert scored["price"].tolist() == [i + 0.5 for i in range(40)]
    assert scored["count"].dropna().tolist() == [i for i in range(40) if i % 3 == 0]


def test_kept_columns_of_parquet_keep_their_types_whatever_these_are(model, tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(predicting, "CHUNK", 7)
    columns = {
        "list": pa.array([[1, 2], None] * 20),
        "bytes": pa.array([None] * 20 + [b"x"] * 20),
        "large": pa.array([2**62 + 1, None] * 20),
        "late": pa.array([None] * 20 + ["z"] * 20),
        "kind": pa.array(["u", "v"] * 20).dictionary_encode(),
    }
    table = pa.Table.from_pandas(loans(40, seed=6), preserve_index=False)
    for name, values in columns.items():
        table = table.append_column(name, values)
    pq.write_table(table, tmp_path / "n.parquet")
    predict_file(model, tmp_path / "n.parquet", tmp_path / "a.parquet", keep=[*columns, "client_id"])
    scored = pq.read_table(tmp_path / "a.parquet")
    for name in (*columns, "client_id"):
        assert scored[name].to_pylist() == table[name].to_pylist()
        assert scored.schema.field(name).type == table.schema.field(name).type
