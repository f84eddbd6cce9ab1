#!/usr/bin/python3
"""check_looks.py FOLDER: pages there in a headless Chromium, on a phone and a desk, light and dark."""
import pathlib
import sys

from browser import Browser

top = pathlib.Path(sys.argv[1])
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Drawn texts that stick out of their drawing.
OUTSIDE = """[...document.querySelectorAll('figure > svg text')].filter((text) => {
  const inner = text.getBoundingClientRect(), outer = text.ownerSVGElement.getBoundingClientRect();
  return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent).join(' | ')"""
PLACE = "(() => { const box = document.querySelector('figure > svg').getBoundingClientRect();" \
        " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
TIP = "(() => { const tip = document.querySelector('figure .tip');" \
      " return tip.hidden ? '' : tip.innerText; })()"
BAR = "(() => { const bar = document.querySelector('svg.bars rect'); bar.scrollIntoView({block: 'center'});" \
      " const box = bar.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]; })()"
BAR_TIP = "[...document.querySelectorAll('.tip')].filter((tip) => !tip.hidden).map((tip) => tip.innerText).join()"


def expect(condition, what):
    if not condition:
        browser.close()
        sys.exit(f"FAILED: {what}")


browser = Browser()
looks = [("one", 390, False), ("series", 390, False), ("series", 1280, False), ("hostile", 390, True),
         ("hostile", 1280, True), ("long", 390, True), ("old", 390, False)]
for name, width, dark in looks:
    what = f"{name}, {width} px, {'dark' if dark else 'light'}"
    browser.open(top / f"{name}.html", width, dark=dark)
    expect(browser.value("document.querySelectorAll('figure').length") >= 4, f"{what}: no figures")
    expect(browser.value(WIDER) <= 0, f"{what}: wider than the window by {browser.value(WIDER)} px")
    expect(browser.value(OUTSIDE) == "", f"{what}: cut off: {browser.value(OUTSIDE)}")
    lightness = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)")
    expect((lightness < 200) == dark, f"{what}: the ground has the wrong colour")
    x, y = browser.value(PLACE)
    browser.value(f"window.scrollTo(0, {y} - 300)")
    x, y = browser.value(PLACE)
    browser.point_at(x, y)
    tip = browser.value(TIP)
    expect("step: " in tip and "train" in tip, f"{what}: no values under the pointer: '{tip}'")
    if name != "old":
        browser.point_at(*browser.value(BAR))
        expect(": " in browser.value(BAR_TIP), f"{what}: no value over a bar")
    expect(not browser.complaints(), f"{what}: {browser.complaints()}")
    browser.screenshot(top / f"{name}-{width}-{'dark' if dark else 'light'}.png")
browser.close()
print(f"ok: {len(looks)} looks")
