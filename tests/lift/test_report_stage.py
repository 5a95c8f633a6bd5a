from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tasks import report
from tasks.contracts.arms import ARMS, FILTERED, REAL
from tasks.contracts.errors import UserError
from tests.lift.fake_inputs import fake_line
from tests.lift.fake_runs import report_params

LOGGED = (
    "dataset", "lift", "page", "pictures", "runs", "gan_metrics", "classifier", "retrained",
)  # fmt: skip
PICTURES = {
    "confusion.png",
    "flipped.png",
    "lift_by_arm.png",
    "per_class_lift.png",
    "real_beside_synthetic.png",
    "gan_curves.png",
    "filter_reasons.png",
    "real_curve.png",
    "reliability.png",
    "settling.png",
}


@pytest.fixture(autouse=True)
def logged(monkeypatch):
    calls = []
    monkeypatch.setattr(report, "log_pipeline", lambda **what: calls.append(what))
    return calls


@pytest.fixture
def true_pictures():
    """Draw them; elsewhere a white pixel stands for each, which takes a third of the time."""


@pytest.fixture(autouse=True)
def _pictures(request, monkeypatch):
    def blank(figure, path, **_):
        Image.new("L", (1, 1), 255).save(path)

    if "true_pictures" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", blank)


def outcome(line):
    report.run(**line)
    return json.loads(line["lift"].read_text(encoding="utf-8"))


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(("effect", "word"), [(0.9, "helps"), (-0.9, "hurts")])
def test_verdict_has_the_sign_of_the_planted_effect(tmp_path, effect, word, logged, capsys):
    line = fake_line(tmp_path, ["cat", "dog", "eel"], effect=effect, size=16)
    lift = outcome(line)
    assert lift["schema"] == "ganlift/lift/5"
    assert lift["verdict"] == word
    points = lift["lift_pp"]
    assert points["ci_low"] < points["mean"] < points["ci_high"]
    ends = {name: points[name] for name in ("mean", "ci_low", "ci_high")}
    assert lift["arm_lift_pp"][FILTERED] == ends
    arms = lift["arms"]
    means = [
        arms[arm]["balanced_accuracy"]["mean"] for arm in (lift["treatment"], lift["baseline"])
    ]
    assert points["mean"] == pytest.approx(100 * (means[0] - means[1]), abs=1e-3)
    recalls = [
        100 * (of["treatment_recall"] - of["baseline_recall"]) for of in lift["per_class"].values()
    ]
    assert [of["lift_pp"]["mean"] for of in lift["per_class"].values()] == pytest.approx(
        recalls, abs=1e-3
    )
    assert np.mean(recalls) == pytest.approx(points["mean"], abs=1e-3)
    assert lift["counts"] == {
        "classes": 3, "train": 60, "synthetic": {"0": 60, "1": 60, "2": 60}, "control": 180,
        "test": 120, "seeds": 6, "gan_seeds": 3,
    }  # fmt: skip
    assert {path.name for path in line["pictures"].iterdir()} == PICTURES
    assert list(arms) == list(ARMS)
    assert [point["real_images"] for point in lift["worth"]["curve"]] == [15, 30, 60, 120]
    assert lift["answer"]
    assert lift["advice"]
    assert f"verdict  {word}" in capsys.readouterr().out
    sets = tuple(line[name] for name in ("train", "val", "test", "accepted"))
    assert logged[0] == {name: line[name] for name in LOGGED} | {"sets": sets}


def test_collapsed_classes_are_named_wherever_the_result_is_told(tmp_path, capsys):
    names = ["cat", "<b>dog</b>", "eel"]
    line = fake_line(tmp_path, names, gans=2)
    gans = json.loads(line["gan_metrics"].read_text(encoding="utf-8"))
    gans["1"] |= {
        "collapsed": names[:2],
        "rollbacks": 2,
        "stopped_early": True,
        "pseudo_labelled": 7,
    }
    del gans["1"]["by_class"]["eel"]["diversity"]  # too few images tell
    del gans["0"]["evaluation"]["diversity"]
    line["gan_metrics"].write_text(json.dumps(gans), encoding="utf-8")
    lift = outcome(line)
    well = {"collapsed": [], "rollbacks": 0, "stopped_early": False, "pseudo_labelled": 0}
    told = {"kimg": 200.0, "conditioning": 0.95, "conditioning_real": 0.97, "coverage": 0.73}
    told["left_out"] = False
    assert lift["gans"] == {"0": well | told, "1": {k: gans["1"][k] for k in well} | told}
    assert "collapse GAN 1: cat, <b>dog</b>" in capsys.readouterr().out
    page = line["page"].read_text(encoding="utf-8")
    assert page.count('<p class="alert">') == 2
    assert "7 unlabelled images" in page
    alert = page[page.index('<p class="alert">') :].partition("</p>")[0]
    for said in ("GAN 1", "2 of 3", "cat, &lt;b&gt;dog&lt;/b&gt;", "2×", "stopped early"):
        assert said in alert
    assert "<b>dog" not in page
    rows = [row_of(page, "gans", seed) for seed in "01"]
    assert rows[0][:6] == ["0.0123", "0.91", "0.62", "1.04", "0.73", "–"]
    assert rows[1][5:10] == ["0.81", "95.0 %", "97.0 %", "3.1 %", "1.2 %"]
    assert page.count("kept at 168 of 200 kimg") == 2
    assert row_of(page, "gan_classes", "eel") == ["0.75", "0.80", "90.0 %", ""]
    assert row_of(page, "gan_classes", "cat")[3] == "1"


def test_a_gan_of_which_no_image_was_accepted_is_told_and_counts_for_nothing(tmp_path, capsys):
    line = fake_line(tmp_path, ["cat", "dog"], gans=2)
    before = outcome(line)
    gans = json.loads(line["gan_metrics"].read_text(encoding="utf-8"))
    line["gan_metrics"].write_text(json.dumps(gans | {"5": gans["0"]}), encoding="utf-8")
    lift = outcome(line)
    assert [seed for seed, gan in lift["gans"].items() if gan["left_out"]] == ["5"]
    assert (lift["lift_pp"], lift["counts"]) == (before["lift_pp"], before["counts"])
    page = line["page"].read_text(encoding="utf-8")
    alert = page[page.index('<p class="alert">') :].partition("</p>")[0]
    assert "GAN 5" in alert
    assert "accepted none of its images" in alert
    assert "doubt    The filter accepted no image of GAN 5. The arms rest on 2 of 3 GANs" in (
        capsys.readouterr().out
    )


def test_well_gans_raise_no_alert_and_unjudged_ones_no_error(tmp_path):
    line = fake_line(tmp_path, ["a", "b"])
    gans = json.loads(line["gan_metrics"].read_text(encoding="utf-8"))
    for gan in gans.values():
        gan |= {"evaluation": {}, "by_class": {}}
    line["gan_metrics"].write_text(json.dumps(gans), encoding="utf-8")
    outcome(line)
    page = line["page"].read_text(encoding="utf-8")
    assert '<p class="alert">' not in page
    assert row_of(page, "gans", "2")[:9] == ["–"] * 9
    assert "gan_classes" not in page


def row_of(page, table, first):
    """The cells of the row that begins with a heading, tags left out."""
    body = page[page.index(f'<table id="{table}">') :].partition("</table>")[0]
    (row,) = (r for r in body.split("<tr>") if r.startswith(f'<th scope="row">{first}'))
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row)]


def test_equal_arms_lift_nothing(tmp_path):
    lift = outcome(fake_line(tmp_path, ["cat", "dog"], effect=0.0))
    assert [lift["lift_pp"][key] for key in ("mean", "ci_low", "ci_high")] == [0.0, 0.0, 0.0]
    assert lift["verdict"] == "inconclusive"
    assert "practically no effect" in lift["advice"]


@pytest.mark.usefixtures("true_pictures")
def test_equal_inputs_give_equal_bytes(tmp_path):
    for folder in ("one", "two"):
        report.run(**fake_line(tmp_path / folder, ["cat", "dog"]))
    first, second = hashes(tmp_path / "one" / "out"), hashes(tmp_path / "two" / "out")
    assert first == second
    assert len(first) == 3 + len(PICTURES)


@pytest.mark.usefixtures("true_pictures")
def test_page_loads_nothing_and_escapes_names(tmp_path):
    names = ['<img src="http://x.test/a">', "$5_{x & y}", "日本語", "long " * 40]
    line = fake_line(tmp_path, names, train=[40, 40, 40, 3])
    lift = outcome(line)
    page = line["page"].read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    assert set(re.findall(r'\b(?:src|href)="([^"]{0,22})', page)) == {"data:image/png;base64,"}
    assert "url(" not in page
    assert "@import" not in page
    assert "&lt;img src=&#34;http://x.test/a&#34;&gt;" in page
    assert "日本語" in page
    assert lift["answer"] in page
    # the page shows images that flipped one by one
    assert page.count('<div class="pan"') == len(PICTURES - {"flipped.png"})
    assert page.count('<span class="tag">rare</span>') == 1
    assert str(tmp_path) not in page


def test_rare_classes_and_filter_are_told_apart(tmp_path):
    lift = outcome(fake_line(tmp_path, ["a", "b", "c"], train=[30, 30, 5], test_per_class=150))
    assert [of["rare"] for of in lift["per_class"].values()] == [False, False, True]
    assert lift["filter_lift_pp"]["ci_low"] > 0


def test_arms_that_did_not_run_are_left_out(tmp_path):
    arms = [REAL, FILTERED]
    line = fake_line(tmp_path, ["a", "b"], arms=arms)
    lift = outcome(line)
    assert list(lift["arms"]) == arms
    assert lift["filter_lift_pp"] is None
    assert "What the filter adds" not in line["page"].read_text(encoding="utf-8")


@pytest.mark.usefixtures("true_pictures")
def test_many_classes_fold_their_table_and_are_all_in_it(tmp_path):
    names = [f"kind {n}" for n in range(40)]
    line = fake_line(tmp_path, names, train=[2] * 40, test_per_class=3)
    assert list(outcome(line)["per_class"]) == names
    page = line["page"].read_text(encoding="utf-8")
    assert "All 40 classes as a table" in page
    assert all(f'<th scope="row">{name}' in page for name in names)


def test_one_gan_pairs_single_runs(tmp_path):
    lift = outcome(fake_line(tmp_path, ["a", "b"], gans=1))
    assert lift["counts"]["gan_seeds"] == 1
    assert lift["gan_luck"] is False
    assert "one GAN" in lift["advice"]
    assert lift["lift_pp"]["ci_low"] < lift["lift_pp"]["ci_high"]


def test_runs_of_another_retraining_are_refused(tmp_path):
    line = fake_line(tmp_path, ["a", "b"])
    runs = pd.read_parquet(line["runs"])
    runs.assign(accuracy=runs["accuracy"] - 0.01).to_parquet(line["runs"])
    with pytest.raises(UserError, match="accuracy in the runs"):
        report.run(**line)
    assert not line["lift"].exists()


@pytest.mark.usefixtures("true_pictures")
@pytest.mark.parametrize(
    ("metric", "unit"),
    [("log_loss", "hundredths of a nat"), ("recall:$5_{x & y}", "percentage points")],
)
def test_every_primary_metric_reaches_the_page(tmp_path, metric, unit):
    names = ["$5_{x & y}", "b", "c"]
    params = report_params(primary_metric=metric, baseline="strongest")
    line = fake_line(tmp_path, names, test_per_class=160) | {"params": params}
    lift = outcome(line)
    assert (lift["unit"], lift["baseline_choice"]["rule"]) == (unit, "strongest")
    assert lift["verdict"] == "helps"
    assert metric in lift["arms"]["real"]
    shown = json.loads(line["metrics"].read_text(encoding="utf-8"))
    base = lift["arms"][lift["baseline"]][metric]["mean"]
    assert shown["base"] == (round(base, 4) if metric == "log_loss" else round(100 * base, 1))
    assert unit in line["page"].read_text(encoding="utf-8")


def test_the_metrics_are_the_few_figures_of_the_result(tmp_path):
    line = fake_line(tmp_path, ["a", "b"], arms=[REAL, FILTERED])
    lift = outcome(line)
    assert lift["worth"] is None  # no curve
    points, gans = lift["lift_pp"], json.loads(line["gan_metrics"].read_text(encoding="utf-8"))
    kept = json.loads(line["filter_metrics"].read_text(encoding="utf-8"))["acceptance_rate"]
    judged = [gan["evaluation"] for gan in gans.values()]
    assert json.loads(line["metrics"].read_text(encoding="utf-8")) == {
        "verdict": lift["verdict"],
        "lift": round(points["mean"], 2),
        "low": round(points["ci_low"], 2),
        "high": round(points["ci_high"], 2),
        "base": round(100 * lift["arms"][REAL]["balanced_accuracy"]["mean"], 1),
        "gan": round(100 * lift["arms"][FILTERED]["balanced_accuracy"]["mean"], 1),
        "kid": round(np.mean([of["kid"] for of in judged]), 4),
        "cover": round(100 * np.mean([of["coverage"] for of in judged]), 1),
        "kept": round(100 * kept, 1),
        "leak": 0.52,
    }


def test_what_may_be_shared_is_told_and_former_results_tell_nothing_of_it(tmp_path, capsys):
    line = fake_line(tmp_path, ["a", "b"], arms=[REAL, FILTERED])
    sharing = outcome(line)["sharing"]
    assert sharing["guarantee"] is None
    assert sharing["attacks"]["nearest"]["auc"]["value"] == 0.52
    assert "share    If the real images are private" in capsys.readouterr().out
    assert "How much a stranger can tell" in line["page"].read_text(encoding="utf-8")
    told = json.loads(line["filter_metrics"].read_text(encoding="utf-8"))
    del told["membership"]
    line["filter_metrics"].write_text(json.dumps(told), encoding="utf-8")
    assert outcome(line)["sharing"] is None


def test_a_missing_input_is_named(tmp_path):
    line = fake_line(tmp_path, ["a", "b"])
    line["gan_curves"].unlink()
    with pytest.raises(UserError, match="gan_curves"):
        report.run(**line)
