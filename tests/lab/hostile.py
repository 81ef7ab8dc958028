"""Texts that would run a script where somebody forgot to escape them: each would set `window.__pwned`."""

from __future__ import annotations

from typing import Any

RUN = "window.__pwned=1"
_B64 = "d2luZG93Ll9fcHduZWQ9MQ=="  # RUN in base64

STRINGS: tuple[str, ...] = (
    # tags and handlers
    f"<script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<svg onload={RUN}></svg>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<script/x>{RUN}</script\t\n >",
    f'<img src="x" onerror="{RUN}"/>',
    f"<img/src='x'/onerror='{RUN}'>",
    f"<IMG SRC=x oNeRrOr=`{RUN}`>",
    f"<img src=x onerror=eval(atob('{_B64}'))>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{RUN}'><text y=20>click</text></a></svg>",
    f"<svg><set attributeName=href to='javascript:{RUN}'/><a id=x><text>click</text></a></svg>",
    f"<svg><foreignObject><img src=x onerror={RUN}></foreignObject></svg>",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}><option>a</select>",
    f"<details open ontoggle={RUN}>a</details>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}></audio>",
    f"<marquee onstart={RUN}>a</marquee>",
    f"<div onpointerenter={RUN} style='position:fixed;inset:0'>over all</div>",
    f"<style>@keyframes x{{}}</style><b style='animation-name:x' onanimationstart={RUN}>a</b>",
    # frames, links, objects
    f"<iframe src='javascript:parent.{RUN[7:]}'></iframe>",
    f'<iframe srcdoc="<script>parent.{RUN[7:]}</script>"></iframe>',
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<a href='javascript:{RUN}'>a link</a>",
    f"<a href='java&#10;script:{RUN}'>a link</a>",
    f"<a href='data:text/html;base64,PHNjcmlwdD5vcGVuZXIu{_B64}'>a link</a>",
    f"<form action='javascript:{RUN}'><button>send</button></form>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    "<base href='javascript:window.__pwned=1//'>",
    f"<link rel=stylesheet href=x onerror={RUN}>",
    f"<math><mtext><a xlink:href='javascript:{RUN}'>a</a></mtext></math>",
    # out of an attribute, a tag, a comment, a template, a script
    f'"><img src=x onerror={RUN}>',
    f"'><svg onload={RUN}>",
    f"' onmouseover='{RUN}' autofocus onfocus='{RUN}' x='",
    f'" onfocus="{RUN}" autofocus tabindex="0" x="',
    f"</title></style></textarea></script><script>{RUN}</script>",
    f"--><img src=x onerror={RUN}><!--",
    f"]]><script>{RUN}</script>",
    f"</option></select><img src=x onerror={RUN}>",
    f"<template><img src=x onerror={RUN}></template>",
    f"';{RUN};'",
    f'"+({RUN})+"',
    f"${{{RUN}}}",
    "{{constructor.constructor('window.__pwned=1')()}}",
    "{% raw %}{{ ''.__class__ }}{% endraw %}<img src=x onerror=window.__pwned=1>",
    # changed by a parser that reads twice
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror={RUN}&gt;'>",
    f"<svg></p><style><a id='</style><img src=x onerror={RUN}>'>",
    f"<xmp><p title='</xmp><img src=x onerror={RUN}>'>",
    # written otherwise
    f"&lt;img src=x onerror={RUN}&gt;",
    f"&amp;lt;img src=x onerror={RUN}&amp;gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;",
    f"\\u003cimg src=x onerror={RUN}\\u003e",
    f"%3Cimg%20src%3Dx%20onerror%3D{RUN}%3E",
    f"＜img src=x onerror={RUN}＞",
    f"\u202e<img src=x onerror={RUN}>",
    f"<\u200bimg src=x onerror={RUN}><img\u00a0src=x onerror={RUN}>",
    # Markdown, maths and what plotly reads as HTML
    f"![x](javascript:{RUN})",
    f"[a link](javascript:{RUN})",
    f"[x]: javascript:{RUN}\n[x]",
    f"`</code><img src=x onerror={RUN}>`",
    f"$\\href{{javascript:{RUN}}}{{x}}$ costs $5 or $10",
    f"$$\\unicode{{<img src=x onerror={RUN}>}}$$",
    f"\\(\\style{{background:url(javascript:{RUN})}}{{x}}\\)",
    f"<a href='javascript:{RUN}' target='_self'><b>bold</b></a><br><sup>%{{x}}</sup>",
    f"%{{customdata[0]}}<extra><img src=x onerror={RUN}></extra>",
)


def names(limit: int = 200) -> tuple[str, ...]:
    """Those of the strings that can be a file's or folder's name: without a slash, and with no more bytes than `limit`."""
    return tuple(text for text in STRINGS if "/" not in text and len(text.encode()) <= limit)


# what a page would hold of a string that was taken for HTML; all of them, live or in a picture
TRACES = """selector => [...document.querySelectorAll(selector)].flatMap(root => [...root.querySelectorAll('*')])
  .filter(e => /^(script|iframe|object|embed|base|meta|link|video|audio|marquee|template|xmp|math|mglyph|form)$/i.test(e.localName)
    || (e.localName === 'img' && !/^data:image\\/svg\\+xml[,;]/.test(e.getAttribute('src') || ''))
    || [...e.attributes].some(a => (/^on/i.test(a.name) && a.value.includes('__pwned'))
      || (/href$|^src$|^action$|^data$|^to$/i.test(a.name) && /^\\s*java/i.test(a.value))))
  .map(e => e.outerHTML.slice(0, 200))"""


def traces(page: Any, selector: str = ".jp-OutputArea") -> list[str]:
    """Elements on the page that a hostile text has made; empty where all were shown as text."""
    found: list[str] = page.evaluate(TRACES, selector)
    return found


def ran(page: Any) -> bool:
    """Whether any of the strings ran a script in the page."""
    return bool(page.evaluate("window.__pwned !== undefined"))
