"""What a release is made with: workflows, versions that agree, the table of platforms."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

if not WORKFLOWS:
    pytest.skip("needs a checkout", allow_module_level=True)


def steps(path):
    yaml = pytest.importorskip("yaml")
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_steps_of_workflows(path):
    """Shell parses, the files it names exist, and actions have a version."""
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"]), step
            continue
        assert "${{" not in step["run"], f"expressions belong in env: {step['run']}"
        done = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        for name in re.findall(r"(?<![\w/.])((?:tools|tests|\.ci)/[\w./]+)", step["run"]):
            assert (ROOT / name).exists(), name


def test_versions_agree():
    command = [ROOT / "tools" / "check_release", f"v{fastnn.__version__}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([command[0], "v9.9.9"], capture_output=True, text=True)
    assert done.returncode == 1 and "the tag is v9.9.9" in done.stderr


def test_links_of_the_readme_become_absolute():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tools" / "readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    address = readme.repository('[project.urls]\nRepository = "https://example.org/fastnn/"\n')
    with pytest.raises(SystemExit, match="has no Repository"):
        readme.repository('[project.urls]\nHomepage = "https://example.org"\n')
    text = (ROOT / "README.md").read_text("utf-8")
    made = readme.absolute(text + "\n![a](docs/gemm.png)\n[b]: docs/gemm.md\n", address, "v1")
    before = "https://example.org/fastnn/"
    targets = re.findall(rf"{before}(?:blob|raw)/v1/([^)#\s]+)", made)
    assert len(targets) > 20 and all((ROOT / target).exists() for target in targets)
    assert f"![a]({before}raw/v1/docs/gemm.png)" in made
    assert f"[b]: {before}blob/v1/docs/gemm.md" in made
    assert not re.search(r"\]\((?!https?:)", made)
    assert readme.absolute(made, address, "v2") == made


def test_oldest_versions_are_those_of_pyproject():
    wanted = (ROOT / "pyproject.toml").read_text()
    for line in (ROOT / "tools" / "oldest.txt").read_text().splitlines():
        if "==" in line:
            name, version = line.split("==")
            least = re.findall(rf'"{name}>=([\d.]+)', wanted)
            assert any(f"{version}.".startswith(f"{found}.") for found in least), line
