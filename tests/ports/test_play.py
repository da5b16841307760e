"""The page of ports/js in a real browser, beside the package."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Browser
from shared import ROOT

import minibitnet as mb
from minibitnet.commands.play import folders_of_page
from minibitnet.files.webfolder import make_server
from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.golden.zoo import find_bug
from minibitnet.packing import unpack
from minibitnet.stories import BUILT_IN

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

BEGINNING = "Once upon a time"
VIEWS = ("next", "map", "linear", "attention", "zeros", "broken", "bits")
UNSEEN = {"int16-sums"}  # this model's sums fit in 16 bits
SOME = "page().state.story?.ids.length > 40"
DONE = "!document.body.classList.contains('writing') && page().state.stages"
QUIET = "document.querySelector('#status').textContent"


@contextmanager
def serving(model):
    with make_server(folders_of_page(model), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def address():
    with serving(BUILT_IN) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


def visit(browser, address, done=DONE):
    """Open the page, and wait until its story is told."""
    browser.size(1400)
    browser.open("about:blank")  # an address with another #view is no new page
    browser.open(address)
    browser.run(
        "Promise.all(['page', 'bugs', 'engine'].map((name) => import(`./${name}.mjs`)))"
        ".then(([page, bugs, engine]) => {"
        " globalThis.page = () => page; globalThis.bugs = bugs;"
        " globalThis.engine = engine; })"
    )
    browser.wait(done)


@pytest.fixture
def page(browser, address):
    """The page of the built-in model, its story told; not opened anew if it is that."""
    if not browser.run("globalThis.unchanged"):
        visit(browser, address)
        browser.run("globalThis.unchanged = true")
    return browser


@pytest.fixture
def changed(page):
    """The same, for a test that leaves it as another."""
    page.run("globalThis.unchanged = false")
    return page


@pytest.fixture(scope="module")
def told():
    """The ids of the package's story."""
    model, tokenizer = mb.load()
    ids = tokenizer.encode(BEGINNING)
    return [*ids, *mb.generate(model, ids, max_new_tokens=300)]


@pytest.fixture(autouse=True)
def no_complaints(request):
    yield
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        assert browser.complaints() == []
        allowed = ("http://127.0.0.1:", "blob:", "data:", "file:///", "about:")
        assert [url for url in browser.requests() if not url.startswith(allowed)] == []


def show(page, view):
    page.run(f"document.getElementById('tab-{view}').click()")


def look(page, at):
    """Look at a token; the arrays that the page then has."""
    page.run(f"page().lookAt({at})")
    stages = page.run(
        "[...page().state.stages].map(([name, { array, shape }]) =>"
        " [name, array.constructor.name, [...array], shape])"
    )
    dtypes = {"Int8Array": np.int8, "Int32Array": np.int32, "Float32Array": np.float32}
    return {
        name: np.array(values, dtypes[kind]).reshape(shape)
        for name, kind, values, shape in stages
    }


def trace_of(ids, at):
    """What the package computes of one token, the others in the cache."""
    model, _ = mb.load()
    cache = mb.KVCache(model.config, capacity=len(ids))
    if at:
        mb.forward(model, ids[:at], cache)
    with mb.trace() as stages:
        mb.forward(model, ids[at : at + 1], cache)
    return stages


def text_of(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def texts_of(page, selector, of="textContent"):
    find = f"document.querySelectorAll({json.dumps(selector)})"
    return page.run(f"[...{find}].map((element) => element.{of})")


def test_it_tells_the_story_that_the_package_tells(page, told):
    _, tokenizer = mb.load()
    assert page.run("page().state.story.ids") == told
    assert text_of(page, "#story").removesuffix(" ■") == tokenizer.decode(told)
    assert "The model ended the story" in page.run(QUIET)


@pytest.mark.parametrize("at", [1, 5, 60])
def test_every_array_is_that_of_the_trace(page, told, at):
    found, right = look(page, at), trace_of(told, at - 1)
    assert [*found] == [*right]
    for name, array in right.items():
        assert found[name].dtype == array.dtype, name
        if name.endswith(("attn_weights", "logits")):
            np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, name)


def shown(x):
    """A number as the page shows it, three digits."""
    if float(x).is_integer():
        return f"{int(x):,}".replace("-", "−")
    return np.format_float_positional(
        float(f"{x:.3g}"), trim="-", fractional=False
    ).replace("-", "−")


def test_the_map_shows_each_stage_by_its_name(page, told):
    look(page, 30)
    show(page, "map")
    right, seen = trace_of(told, 29), {}
    for place in ("embed", 0, 3, 5, "head"):
        page.run(
            "[...document.querySelectorAll('#view-map .choice button')]"
            f".find((b) => b.textContent === '{place}').click()"
        )
        seen |= page.run(
            "Object.fromEntries([...document.querySelectorAll('#view-map .stage')].map("
            "(b) => [b.dataset.stage, ['.largest', '.zeros', '.exact', '.formula'].map("
            "(part) => b.querySelector(part)?.textContent ?? '')]))"
        )
    stages = [f"layers.{layer}.{s.name}" for layer in (0, 3, 5) for s in IN_A_BLOCK]
    assert [*seen] == [EMBED.name, *stages, FINAL_NORM.name, LOGITS.name]
    for name, (largest, zeros, exact, formula) in seen.items():
        array = right[name]
        assert largest == f"largest {shown(abs(array).max())}", name
        share = (array == 0).mean()
        assert zeros == (f"{100 * share:.0f} % zero" if share >= 0.005 else ""), name
        assert exact == ("" if array.dtype == np.float32 else array.dtype.name), name
        assert formula
    show(page, "map")
    page.run("document.querySelector('#view-map .choice [data-value=\"0\"]').click()")
    page.run("document.querySelector('[data-stage=\"layers.0.q.acc\"]').click()")
    first = texts_of(page, "#view-map .values span")
    assert first == [shown(x) for x in right["layers.0.q.acc"][0, :16]]


LAYER, ROW, COLUMN = 2, 70, 9
ROWS = [("q", "qkv_proj", "attn_in"), ("down", "down_proj", "ffn_out")]


@pytest.mark.parametrize(("matrix", "group", "read"), ROWS)
def test_a_row_adds_up_to_what_the_trace_has(page, told, matrix, group, read):
    look(page, 30)
    show(page, "linear")
    show_row(page, matrix)
    result = "document.querySelector('#view-linear .result')"
    stages, block = trace_of(told, 29), mb.load()[0].layers[LAYER]
    right = [
        stages[f"layers.{LAYER}.{name}"][0, ROW] for name in (f"{matrix}.acc", matrix)
    ]
    found = page.run(f"[{result}.dataset.acc, {result}.dataset.y].map(Math.fround)")
    assert found == right
    part = block.mlp if group == "down_proj" else block.self_attn
    packed = getattr(part, group).packed[0]
    weights = unpack(packed)[ROW]
    x = stages[f"layers.{LAYER}.{read}.codes"][0].astype(int)
    assert texts_of(page, ".total span") == totals(weights, x)
    so_far = int(x[: COLUMN + 1] @ weights[: COLUMN + 1])
    assert text_of(page, "#view-linear .sentence").endswith(f"= {shown(so_far)}")
    now = [{1: "+1", -1: "−1", 0: "0"}[weights[COLUMN]], shown(x[COLUMN])]
    assert texts_of(page, ".ledger .now") == [*now, shown(so_far)]
    [byte] = texts_of(page, "#view-linear .byte", "dataset.value")
    assert int(byte) == packed[ROW % len(packed), COLUMN]


def show_row(page, matrix):
    news = f"layer: {LAYER}, matrix: '{matrix}', row: {ROW}, column: {COLUMN}"
    page.run(f"page().change({{ {news} }})")
    page.wait(
        "document.querySelector('#view-linear .result').textContent"
        f".includes('{matrix}.acc[{ROW}]')"
    )


def totals(weights, x):
    """What the page says of the codes that are added, subtracted, skipped."""
    added, subtracted = (x[weights == sign] for sign in (1, -1))
    return [
        f"{len(added)} codes added: {shown(added.sum())}",
        f"{len(subtracted)} codes subtracted: {shown(subtracted.sum())}",
        f"{(weights == 0).sum()} codes skipped",
    ]


def test_attention_is_shown_on_the_words(page, told):
    look(page, 30)
    show(page, "attention")
    page.run("page().change({ layer: 1, head: 6 })")
    weights = trace_of(told, 29)["layers.1.attn_weights"][6, 0]
    words = page.run(
        "[...document.querySelectorAll('.word')].map((w) => [w.textContent, w.title])"
    )
    _, tokenizer = mb.load()
    texts = [tokenizer.decode([token]).strip() for token in told[1:30]]
    assert [word.strip() for word, _ in words] == ["start", *texts]
    assert [title for _, title in words] == [f"{100 * w:.1f} %" for w in weights]
    pressed = "#view-attention .heads [aria-pressed=true]"
    assert page.run(f"document.querySelectorAll('{pressed}').length") == 1
    assert text_of(page, pressed) == "head 6"


def test_zeros_are_counted(page, told):
    look(page, 30)
    show(page, "zeros")
    right = trace_of(told, 29)
    shares = texts_of(page, ".bars button", "lastChild.textContent")
    arrays = [right[f"layers.{layer}.relu2_gate"] for layer in range(6)]
    assert shares == [f"{100 * (array == 0).mean():.0f} %" for array in arrays]


def test_candidates_have_the_probabilities_of_the_package(page, told):
    look(page, 12)
    show(page, "next")
    page.run("page().change({ sampling: { temperature: 0.7, topK: 5, topP: 0.9 } })")
    names = "document.querySelectorAll('.candidates .name')"
    logits = trace_of(told, 11)["logits"][0]
    order = np.argsort(-logits, kind="stable")[:10]
    _, tokenizer = mb.load()
    page.wait(f"{names}.length === 10")
    assert texts_of(page, ".candidates .name") == [
        tokenizer.decode([token]) for token in order
    ]
    p = mb.sampling.probabilities(logits, 0.7, 5, 0.9)
    labels = texts_of(page, ".candidates button", "ariaLabel")
    for token, label in zip(order, labels, strict=True):
        assert f"with these settings {100 * p[token]:.1f} %" in label
    page.run("page().change({ sampling: { temperature: 0, topK: 0, topP: 1 } })")


def test_each_bug_is_one_of_the_zoo(page):
    table = page.run("bugs.BUGS")
    assert len(table) >= 10
    for name, bug in table.items():
        assert bug["first"] == find_bug(name).first_stage
        assert bug["symptom"] == find_bug(name).symptom


def test_each_bug_goes_wrong_first_where_the_zoo_says(page, told):
    found = page.run(
        f"(async () => {{ const found = {{}}, source = await engine.sourceOfModel();"
        " for (const name of Object.keys(bugs.BUGS)) {"
        "  const question = { source: bugs.mutate(source, name), prompt: 5,"
        f"   ids: {told[:8]} }};"
        "  found[name] = await engine.ask('compare', question); } return found; })()"
    )
    for name, difference in found.items():
        if name in UNSEEN:
            assert difference is None, name
            continue
        stage = difference["wrongs"][0]["name"]
        stage = stage.split(".", 2)[2] if stage.startswith("layers.") else stage
        assert stage == find_bug(name).first_stage, name


def test_a_bug_whose_line_is_not_there_is_refused(page):
    said = page.run(
        "(async () => { try { return bugs.mutate('const x = 1;', 'silu') }"
        " catch (error) { return error.message } })()"
    )
    assert said == "silu: expected its line once in bitnet.mjs, found it 0 times"


@pytest.mark.parametrize("name", ["no-sub-norms", "int16-sums"])
def test_breaking_it_shows_the_text_and_lights_the_stage(page, told, name):
    show(page, "broken")
    page.run(
        "(() => { const select = document.querySelector('#view-broken select');"
        f" select.value = '{name}'; select.dispatchEvent(new Event('change'));"
        " document.querySelector('#view-broken .primary').click(); })()"
    )
    page.wait(f"page().state.broken?.name === '{name}'")
    _, tokenizer = mb.load()
    right = tokenizer.decode(told[: 5 + 50])
    assert page.run("page().state.broken.right") == right
    lights = texts_of(page, ".light.first", "dataset.stage")
    if name in UNSEEN:
        assert page.run("page().state.broken.wrong") == right
        assert lights == []
        assert "Every array is right" in text_of(page, "#view-broken .sentence")
    else:
        assert page.run("page().state.broken.wrong") != right
        assert lights == [f"layers.0.{find_bug(name).first_stage}"]


def test_fewer_bits_tell_another_story(page, told):
    show(page, "bits")
    page.run("document.querySelector('#view-bits .primary').click()")
    page.wait(
        "document.querySelector('[data-bits=\"2\"] .token') &&"
        " !document.querySelector('#view-bits .primary').disabled"
    )
    texts = texts_of(page, "[data-bits]")
    _, tokenizer = mb.load()
    assert len({*texts}) == 4
    assert texts[0] == tokenizer.decode(told[: 5 + 60])
    assert page.run("document.querySelectorAll('.parted').length") == 3


FOCUSED = "document.activeElement.id"


def focus(page, name):
    page.run(f"document.getElementById('{name}').focus()")


def test_tab_goes_through_the_page(page):
    show(page, "next")
    focus(page, "start-tour")
    seen = ["start-tour"]
    for _ in range(10):
        page.press("Tab", 9)
        seen.append(page.run(FOCUSED))
    order = ["start-tour", "plain", "open", "beginning", "story", "tab-next"]
    assert [name for name in seen if name in order] == order


def test_arrows_go_from_word_to_word_and_from_view_to_view(page):
    look(page, 12)
    focus(page, "story")
    for key, code, at in (("ArrowRight", 39, 13), ("ArrowUp", 38, 3), ("Home", 36, 1)):
        page.press(key, code)
        page.wait(f"page().state.at === {at}")
    show(page, "next")
    focus(page, "tab-next")
    page.press("ArrowRight", 39)
    assert page.run(FOCUSED) == "tab-map"
    assert page.run("document.getElementById('view-map').hidden") is False


def test_the_tour_has_ten_steps_and_goes_by_keyboard(page):
    focus(page, "start-tour")
    page.press("Enter", 13, "\r")
    titles = set()
    for _ in range(10):
        titles.add(text_of(page, "#tour-title"))
        assert page.run(FOCUSED) == "tour-next"
        page.press("Enter", 13, "\r")
    assert len(titles) == 10
    hidden = "document.getElementById('tour').hidden"
    assert page.run(hidden) is True
    assert page.run(FOCUSED) == "start-tour"
    page.press("Enter", 13, "\r")
    assert page.run(hidden) is False
    page.press("Escape", 27)
    assert page.run(hidden) is True


def test_the_tour_shows_what_it_speaks_of(page):
    look(page, 12)
    spoken_of = {6: "#view-linear .ledger", 7: "#view-linear .byte"}
    for width in (390, 1400):
        page.size(width)
        page.run("document.getElementById('start-tour').click()")
        for step in range(1, 11):
            if step in spoken_of:
                show_row(page, "q")
                part = f"document.querySelector('{spoken_of[step]}')"
                box = f"{part}.getBoundingClientRect()"
                tour = "document.getElementById('tour').getBoundingClientRect()"
                assert page.run(f"{box}.top > 0 && {box}.bottom < {tour}.top"), step
            page.run("document.getElementById('tour-next').click()")
    page.size(1400)


OUTSIDE = """
[...document.querySelectorAll("header *, form *, #view section:not([hidden]) *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML)
"""
NAMELESS = """
[...document.querySelectorAll("button, input, select, textarea, a, [role]")]
  .filter((e) => e.getAttribute("role") !== "presentation" && !(e.ariaLabel
    || e.getAttribute("aria-labelledby") || e.textContent.trim() || e.labels?.length
    || e.role === "status" || e.closest("[hidden]")))
  .map((e) => e.outerHTML.slice(0, 99))
"""


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_nothing_is_cut_off_and_all_has_a_name(page, width):
    look(page, 30)
    for dark in (False, True):
        page.size(width, dark=dark)
        for view in VIEWS:
            show(page, view)
            wide = page.run("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (view, width)
            assert page.run(OUTSIDE) == [], view
            assert page.run(NAMELESS) == [], view
    page.size(1400)


def test_each_view_links_to_what_is_there(page):
    links = page.run(
        "[...document.querySelectorAll('.links')].map((p) => "
        "[...p.querySelectorAll('a')].map((a) => a.getAttribute('href'))"
        ".concat(p.querySelector('code').textContent))"
    )
    assert len(links) == len(VIEWS)
    source = (ROOT / "minibitnet" / "one_page.py").read_text(encoding="utf-8")
    for notebook, module, place, line in links:
        for path in (notebook, module, place.partition("#")[0]):
            assert (ROOT / path.removeprefix("source/")).is_file(), path
        assert source.count(line) == 1, line


def test_the_story_goes_on_with_another_word(changed, told):
    look(changed, 100)
    show(changed, "next")
    changed.wait("document.querySelectorAll('.candidates button').length === 10")
    changed.run("document.querySelectorAll('.candidates button')[1].click()")
    changed.wait(f"page().state.story.ids[100] !== {told[100]} && {DONE}")
    ids = changed.run("page().state.story.ids")
    assert ids[:100] == told[:100]
    model, _ = mb.load()
    assert ids[101:] == [*mb.generate(model, ids[:101], max_new_tokens=300)]


def test_a_dropped_checkpoint_is_read(changed, speaking):
    drop(changed, [f"{speaking}/config.json"])
    changed.wait(f"{QUIET}.includes('cannot be read')")
    assert "expected tokenizer.json" in changed.run(QUIET)
    assert changed.run("page().state.model.V") == 4096
    names = ("config.json", "model.safetensors", "tokenizer.json")
    drop(changed, [f"{speaking}/{name}" for name in names])
    changed.wait(f"page().state.model.V === 259 && {DONE}")
    assert changed.run("page().state.story.ids") == tell(speaking)


def drop(browser, files):
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.call("Input.dispatchDragEvent", type=kind, x=300, y=300, data=data)


def tell(directory):
    model, tokenizer = mb.load(directory)
    ids = tokenizer.encode(BEGINNING)
    return [*ids, *mb.generate(model, ids, max_new_tokens=300)]


BITS, BREAK = "#view-bits .primary", "#view-broken .primary"


def click(page, button):
    page.run(f"document.querySelector('{button}').click()")


def test_what_is_interrupted_again_and_again_comes_to_an_end(changed):
    for i in range(20):
        click(changed, BITS)
        click(changed, BREAK)
        changed.run(f"new Promise((done) => setTimeout(done, {5 * i}))")
        changed.run("document.getElementById('form').requestSubmit()")
    changed.wait(DONE)
    ready = "![...document.querySelectorAll('#view .primary')].some((b) => b.disabled)"
    changed.wait(ready)


def test_what_is_found_is_said_of_the_mistake_that_is_shown(changed):
    show(changed, "broken")
    click(changed, BREAK)
    select = "document.querySelector('#view-broken select')"
    assert changed.run(f"{select}.disabled") is True
    changed.wait(f"!{select}.disabled")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 10**12}, "input_layernorm.weight, found"),
        ({"vocab_size": 10**15}, "expected model.embed_tokens.weight"),
        ({"eos_token_id": "x"}, "expected eos_token_id: ids of the vocabulary"),
        ({"eos_token_id": 259}, "expected eos_token_id: ids of the vocabulary"),
        ({"max_position_embeddings": 10**15}, None),
    ],
)
def test_a_config_that_promises_too_much(changed, speaking, tmp_path, changes, said):
    config = json.loads(Path(speaking, "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = ("model.safetensors", "tokenizer.json")
    drop(changed, [f"{tmp_path}/config.json", *(f"{speaking}/{n}" for n in names)])
    if said:
        changed.wait(f"{QUIET}.includes('{said}')", 5)
        assert changed.run("page().state.model.V") == 4096
    else:
        changed.wait(f"page().state.model.V === 259 && {DONE}")


def test_a_folder_is_no_file_and_a_short_context_no_old_view(
    changed, speaking, tmp_path
):
    drop(changed, [speaking])
    changed.wait(f"{QUIET}.includes('expected files, not a folder')")
    config = json.loads(Path(speaking, "config.json").read_text())
    config["max_position_embeddings"] = 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = ("model.safetensors", "tokenizer.json")
    drop(changed, [f"{tmp_path}/config.json", *(f"{speaking}/{n}" for n in names)])
    changed.wait(f"{QUIET}.includes('there is room for 1')")
    show(changed, "map")
    body = "document.querySelector('#view-map .body')"
    assert changed.run(f"getComputedStyle({body}).visibility") == "hidden"


def test_another_model_is_served(browser, speaking):
    with serving(Path(speaking)) as address:
        visit(browser, address)
        assert browser.run("page().state.story.ids") == tell(speaking)


def test_it_is_one_file_that_opens_from_disk(browser, tmp_path, told):
    file = tmp_path / "playground.html"
    tool = ROOT / "tools" / "inline_page.py"
    subprocess.run([sys.executable, tool, file], check=True)
    browser.open(file.as_uri())
    browser.wait("document.querySelectorAll('.token').length > 40")
    _, tokenizer = mb.load()
    assert tokenizer.decode(told).startswith(text_of(browser, "#story"))


def test_it_opens_in_the_repository_with_any_server(browser, told):
    with make_server({"": ROOT}, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        visit(browser, f"http://127.0.0.1:{port}/ports/js/index.html", SOME)
        ids = browser.run("page().state.story.ids")
        assert ids == told[: len(ids)]
        server.shutdown()
