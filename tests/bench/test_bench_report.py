"""The report of recorded results: one file, no links, no empty columns; files that come back."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from fastnn.bench import command, report
from fastnn.bench.cases import BenchError, cases_of, select
from fastnn.bench.libraries import LIBRARIES
from fastnn.bench.results import AGAIN, Results, dump, read, write
from fastnn.bench.svg import COLORS, SHAPES, Chart, legend_mark

from .test_bench_statistics import simulated

pytest.importorskip("jinja2")


def recorded():
    results = simulated(3)
    results.environment = {"date": "2026-01-01 00:00 UTC", "processor": "<CPU & more>", "CPUs": 2}
    for name in ("fastnn", "numpy"):
        results.learn(name, {"version": "1", "isa": "avx2", "empty": 1e-8, "kernels": []})
    peak = {"float32": {"1": 100.0}, "float64": {"1": 50.0}}
    streams = {level: {"1": 50.0} for level in ("32K", "256K", "1M", "16M", "256M")}
    limits = {"cpu": "x", "isa": "avx2", "fma": peak, "read": streams, "copy": streams}
    results.add_limits(limits, 1)
    results.missing = ["jax"]
    return results


def test_html_is_one_file_with_pictures_and_without_links():
    html, _ = report.render(recorded())
    assert "&lt;CPU &amp; more&gt;" in html and "<CPU" not in html
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script|https?://(?!download)", html)
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) > 40
    for picture in pictures:
        ET.fromstring(picture)  # well-formed
    assert "FMA peak 100" in html and "pip install jax" in html


def test_both_reports_have_the_same_verdicts_and_no_empty_columns():
    results = recorded()
    html, markdown = report.render(results)
    for family in results.families():
        assert f"| {family.name} | {family.verdict} | {family.ratio:.2f} |" in markdown
        assert f"<td>{family.name}</td>" in html
    assert "NumPy" in html and "SciPy" not in html and "SciPy" not in markdown
    assert "installed" not in markdown.partition("## Cases")[0].lower().split("not installed")[0]
    for line in markdown.splitlines():  # every row of a table has as many cells as its head
        if line.startswith("| ---"):
            width = line.count("|")
        elif (
            line.startswith("|")
            and "| ---" not in line
            and not line.startswith(("| case", "| family", "| library"))
        ):
            assert line.count("|") == width, line


def test_results_come_back_from_their_file(tmp_path):
    results, path = recorded(), tmp_path / "deep" / "results.json"
    write(path, dump(results))
    back = read(path)
    assert [row.case for row in back.rows] == [row.case for row in results.rows]
    assert back.machine == results.machine and back.libraries == results.libraries
    for ours, theirs in zip(back.families(), results.families(), strict=True):
        assert ours.ratio == pytest.approx(theirs.ratio, rel=1e-3)
    write(path, dump(results, condensed=True))
    condensed = read(path)
    assert len(condensed.rows[0].times["numpy"][0]) == 3
    for ours, theirs in zip(condensed.families(), results.families(), strict=True):
        assert ours.ratio == pytest.approx(theirs.ratio, rel=1e-3)
    for row in condensed.rows:  # as kept by 0.2: a turn is its median alone
        row.times = {n: [[turn[1]] for turn in turns] for n, turns in row.times.items()}
    write(path, dump(condensed))
    for ours, theirs in zip(read(path).families(), results.families(), strict=True):
        assert ours.ratio == pytest.approx(theirs.ratio, rel=0.05)
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"other\.json is not a results\.json"):
        read(path)


def test_an_empty_run_has_a_report():
    html, markdown = report.render(Results(environment={"date": "", "CPUs": 1}))
    assert "no row" in html and "no row" in markdown


def test_each_library_has_a_mark_of_its_own():
    marks = [legend_mark(name) for name in LIBRARIES]
    assert len(set(marks)) == len(marks)
    assert len(COLORS) == len(SHAPES) and len(LIBRARIES) <= 2 * len(SHAPES)


def test_a_chart_stands_alone():
    chart = Chart("title", "x <", "y")
    chart.dot("numpy", 10, 20, "a & b")
    chart.dot("fastnn", 0, 20, "not on a logarithmic axis")
    chart.limits.append(("peak", [(1, 50), (100, 50)]))
    drawn = ET.fromstring(chart.draw(standalone=True))
    assert len(drawn.findall(".//*[@class='dot f1']")) == 1 and "NumPy" in "".join(drawn.itertext())


def test_names_of_cases_are_unique_and_found():
    cases = select("full")
    assert len({case.name for case in cases}) == len(cases)
    assert {case.family for case in select("quick")} == {case.family for case in cases}
    assert {case.name for case in select("quick")} < {case.name for case in select("default")}
    assert [case.name for case in select("quick", (), ["softmax-f32-4096x1024"])] == [
        "softmax-f32-4096x1024", "log_softmax-f32-4096x1024",
    ]  # fmt: skip
    with pytest.raises(BenchError, match=r"-k: no case has 'nothing'.*matmul"):
        select("quick", (), ["nothing"])


def test_json_of_a_case_is_a_row_a_line():
    text = dump(recorded())
    assert json.loads(text)["schema"] == 1
    assert sum(line.startswith('{"case"') for line in text.splitlines()) == len(recorded().rows)
    assert AGAIN in text and cases_of("gemm")


@pytest.mark.parametrize(("who", "code"), [("torch", 0), ("fastnn", 1), ("fastnn_bf16", 1)])
def test_a_wrong_peer_does_not_fail_a_run(tmp_path, who, code):
    results = recorded()
    results.fail(f"{who}, 1 threads, norm: result 0 is off")
    write(tmp_path / "results.json", dump(results))
    args = ["--from", str(tmp_path / "results.json"), "--report", str(tmp_path / "report")]
    assert command.main(args) == code
    assert f"{who}, 1 threads" in (tmp_path / "report/report.md").read_text("utf-8")
