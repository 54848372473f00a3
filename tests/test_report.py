"""The page of ``chainrule train --report``: what it tells, that it loads nothing, and how a browser sees it."""

from __future__ import annotations

import argparse
import html.parser
import json
import re
import shlex
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

import chainrule
from chainrule.cli import main, train_options
from chainrule.cli.problem import choose_source, prepare
from chainrule.cli.train_report import save_report, spell_run
from chainrule.cli.training import build_net
from chainrule.history import History
from chainrule.report import make_page
from chainrule.report.columns import summarize_columns
from chainrule.report.markup import Markup, element
from chainrule.tables import Categories, Table, TableEncoder, read_table

pytest.importorskip("matplotlib")

SECTIONS = ["Scores on held-out rows", "Training", "Network", "Data", "Settings", "Environment", "Reproduce"]
EVIL = "<img src=x onerror=alert(1)>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: What the browser does of itself would count as a request of the page.
HEADLESS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"]
HEADLESS += ["--disable-component-update", "--disable-sync", "--no-first-run", "--enable-logging=stderr"]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train_options.add_arguments(parser)
    return parser.parse_args(words)


def run(*words: str):
    args = parse(*words)
    source = choose_source(args.data, args.target, args.dataset)
    options = {"loss": args.loss, "ignore": args.ignore, "validation": args.validation, "test": args.test}
    problem = prepare(source, task=None, seed=args.seed, **options)
    net = build_net(args, problem)
    X, Y, split = problem.X, problem.Y, problem.split
    validation = (X[split.validation], Y[split.validation]) if len(split.validation) else None
    options = {"epochs": args.epochs, "optimizer": args.optimizer, "validation": validation}
    return args, problem, net, net.fit(X[split.train], Y[split.train], **options)


@pytest.fixture(scope="module")
def penguins():
    return run("--hidden", "5", "--epochs", "30")


@pytest.fixture
def page(penguins, tmp_path):
    save_report(tmp_path / "report.html", *penguins)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def evil_table(tmp_path):
    """Names, labels and cells that would be markup, mathematics, or requests."""
    generator = np.random.default_rng(0)
    lines = [f'"{EVIL}","$x_2$","<script>alert(2)</script>","left, out"']
    for row in range(60):
        label, left_out = "<b>&amp;" if row % 2 else "$\\frac", "NA" if row % 3 else row
        lines.append(f"{generator.normal():.3f},{label},{row * 0.5},{left_out}")
    path = tmp_path / "<u>'\"&.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def evil(evil_table):
    words = ["--target", "<script>alert(2)</script>", "--ignore", "left, out", "--hidden", "3", "--epochs", "3"]
    return run(str(evil_table), *words)


class Reader(html.parser.HTMLParser):
    """Collects elements, text, and everything that a browser could fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_page_tells_all_of_the_run(page, penguins):
    _, problem, net, history = penguins
    reader = Reader(page)
    assert reader.headings == SECTIONS
    assert not reader.open
    assert reader.tags.count("img") == 3  # confusion, losses, diagram
    accuracy = np.mean(np.argmax(net.predict(problem.X[problem.split.test]), axis=1) == problem.Y[problem.split.test])
    for told in (
        f"{accuracy:.4f}",
        f"{len(problem.split.test)} held-out rows",
        "bill_length_mm",
        "32.1 to 59.6",
        "3 different: Adelie (146), Gentoo (119), Chinstrap (68)",
        f"{int(np.argmin(history.validation_loss)) + 1}, validation loss",
        f"{history.seconds:.3g} s",
        chainrule.__version__,
        chainrule.build_info()["isa"],
        "cross_entropy",
        "chainrule train --hidden=5 --epochs=30",
    ):
        assert told in reader.text, told


def test_nothing_is_loaded_and_no_script_runs(page):
    reader = Reader(page)
    assert all(link.startswith("data:image/svg+xml;base64,") for link in reader.links)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert "default-src 'none'" in page
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_text_of_users_is_escaped(evil, tmp_path):
    save_report(tmp_path / "evil.html", *evil)
    page = (tmp_path / "evil.html").read_text(encoding="utf-8")
    reader = Reader(page)
    assert reader.headings == SECTIONS
    assert not {"script", "u"} & set(reader.tags)
    assert len(reader.links) == 3
    assert all(link.startswith("data:") for link in reader.links)
    assert EVIL in reader.text  # as text
    assert EVIL not in page
    assert "<b>&amp; (30)" in reader.text


@pytest.mark.parametrize("given", ["<>&\"'", "a\x00b\x1b\x85", "\ud800", "naïve 中文\n"])
def test_markup_escapes_and_replaces_what_html_forbids(given):
    made = element("p", given, title=given)
    made.encode("utf-8")
    assert re.fullmatch(r'<p title="[^<>"]*">[^<>"\']*</p>', made)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", made)
    assert element("p", Markup("<b>")) == "<p><b></p>"


def test_columns_are_summarised(evil_table):
    table = read_table(evil_table)
    encoder = TableEncoder.fit(table, "<script>alert(2)</script>", "regression", ignore=["left, out"])
    numbers, labels, target, ignored = summarize_columns(table, encoder)
    values = table.numbers(EVIL)
    assert (numbers.role, numbers.kind, numbers.missing) == ("feature", "numbers", 0)
    assert numbers.values == f"{values.min():.6g} to {values.max():.6g}"
    assert float(numbers.mean) == pytest.approx(values.mean(), rel=1e-4)
    assert labels.values == "2 different: $\\frac (30), <b>&amp; (30)"
    assert (target.role, target.values) == ("target", "0 to 29.5")
    assert (ignored.role, ignored.missing, ignored.values) == ("ignored", 40, "0 to 57")


def test_columns_of_arrays_are_summarised():
    columns = {"a": np.array([1.0, 3.0, np.nan]), "b": np.array([0.0, 1.0, 1.0]), "c": np.full(3, np.nan)}
    table = Table("t.npz", columns, range(1, 4), "row")
    encoder = TableEncoder((), Categories("b", ("0", "1"), True))
    described = [(each.kind, each.missing, each.values, each.mean) for each in summarize_columns(table, encoder)]
    assert described == [
        ("numbers", 1, "1 to 3", "2"),
        ("categories", 0, "2 different: 1 (2), 0 (1)", ""),
        ("nothing", 3, "", ""),
    ]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--dataset", "auto_mpg", "--seed", "3", "--lr", "0.01", "--patience", "none"],
        ["it's; rm -rf.csv", "--target", "-x", "--ignore", "a b", "--ignore", "--c", "--batch-size", "all"],
        [
            "t.csv",
            "--target",
            "y",
            "--hidden",
            "8,4",
            "--activation",
            "relu,tanh",
            "--dropout",
            "0.25,0",
            "--threads",
            "2",
        ],
        [
            "t.csv",
            "--target",
            "y",
            "--hidden",
            "none",
            "--loss",
            "huber(0.5)",
            "--schedule",
            "cosine",
            "--time-limit",
            "5",
        ],
        ["t.csv", "--target", "y", "--class-weight", "yes=10,a=b=0.1"],
    ],
)
def test_the_command_repeats_the_run(words):
    args = parse(*[f"--target={word}" if word == "-x" else word for word in _joined(words)])
    program, command, *spelled = shlex.split(spell_run(args))
    assert (program, command) == ("chainrule", "train")
    assert parse(*spelled) == args


def _joined(words):
    """Values that begin with a hyphen need an equals sign."""
    joined = []
    for word in words:
        if joined and joined[-1] in ("--target", "--ignore") and word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def test_a_run_that_was_broken_off_says_so(penguins):
    args, problem, net, _ = penguins
    page = make_page(problem, net, History(stopped="interrupted"), settings={}, command=spell_run(args))
    assert "interrupted after epoch 0; it is incomplete" in Reader(page).text
    assert "ended from outside" in Reader(page).text


def test_no_rows_held_out():
    args, problem, net, history = run("--test", "0", "--validation", "0", "--epochs", "2")
    page = make_page(problem, net, history, settings={}, command=spell_run(args))
    assert "No rows were held out" in Reader(page).text
    assert Reader(page).tags.count("img") == 1  # 64,32 hidden units are too many for a diagram


def test_an_older_page_survives_a_failure(penguins, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        save_report(path, *penguins)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_the_command_line_writes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--epochs", "3", "--report", "all.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == "all.html"
    reader = Reader((tmp_path / "all.html").read_text(encoding="utf-8"))
    assert reader.headings == SECTIONS
    assert "chainrule train --epochs=3" in reader.text
    assert main(["train", "--epochs", "3", "--report", "all.html", "--output", "other.safetensors"]) == 1
    assert "all.html exists; give --force to replace it" in capsys.readouterr().err
    assert main(["train", "--epochs", "3", "--report", "all.html", "--force"]) == 0
    assert "report: all.html\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--report", "-"], "--report goes to a file, not to standard output"),
        (["--report", "penguins.safetensors"], "--report names the file of another output, penguins.safetensors"),
        (["--plot", "a.svg", "--report", "a.svg"], "--report names the file of another output, a.svg"),
    ],
)
def test_pages_that_cannot_be_written_are_refused_at_once(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def browse(path, tmp_path, *options):
    command = [CHROMIUM, *HEADLESS, f"--user-data-dir={tmp_path / 'profile'}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1000, 400])
def test_chromium_shows_the_page(evil, tmp_path, width):
    path = tmp_path / "report.html"
    save_report(path, *evil)
    shot, log = tmp_path / "shot.png", tmp_path / "net.json"
    window = f"--window-size={width},1600"
    told = browse(path, tmp_path, "--dump-dom", window, f"--screenshot={shot}", f"--log-net-log={log}")
    assert Reader(told.stdout).headings == SECTIONS
    assert "CONSOLE" not in told.stderr
    assert requests_in(log) == []
    from matplotlib.image import imread

    picture = imread(shot)[..., :3]
    inked = picture.min(axis=2) < 0.8
    assert picture.shape[1] == width
    assert 0.01 < inked.mean() < 0.5
    assert inked[: len(inked) // 2].any()
    assert inked[len(inked) // 2 :].any()
    assert len(np.unique((picture * 15).astype(int).reshape(-1, 3), axis=0)) > 10  # the figures' colours


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_chromium_would_refuse_what_is_from_elsewhere(page, tmp_path):
    """The page's policy holds, and the test above would see a request and a script's error."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    outside = f'<img src="http://127.0.0.1:{server.server_port}/x.png"><script>throw Error("ran")</script>'
    changed, log = page.replace("</body>", outside + "</body>"), tmp_path / "net.json"
    (tmp_path / "kept.html").write_text(changed, encoding="utf-8")
    told = browse(tmp_path / "kept.html", tmp_path, "--dump-dom")
    assert told.stderr.count("Content Security Policy") == 2
    assert not asked
    (tmp_path / "lost.html").write_text(changed.replace("Content-Security-Policy", "x"), encoding="utf-8")
    told = browse(tmp_path / "lost.html", tmp_path, "--dump-dom", f"--log-net-log={log}")
    server.shutdown()
    server.server_close()
    assert "CONSOLE" in told.stderr
    assert asked == ["/x.png"]
    assert requests_in(log) == [f"http://127.0.0.1:{server.server_port}/x.png"]


def requests_in(log) -> list[str]:
    """Return the addresses that the page asked the network for; Chromium's own requests come from no origin."""
    document = json.loads(log.read_text())
    kind = document["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    starts = [event["params"] for event in document["events"] if event["type"] == kind and "params" in event]
    asked = [start["url"] for start in starts if start.get("initiator", "not an origin") != "not an origin"]
    return list(dict.fromkeys(url for url in asked if not url.startswith(("data:", "file:"))))
