// Looks of a page: one column on a phone, dark where the reader's system is. Colours are those of
// Okabe & Ito (2008), which stay apart for the colour-blind, lighter on dark ground.
#include "report/page.h"

namespace lockstep::report {

const char* const kStyle = R"css(:root {
  --ground: #ffffff; --raised: #f6f7f9; --ink: #1b1f24; --soft: #57606a; --rule: #d5dae0;
  --grid: #e6e9ed; --link: #0b5cad;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b5588f; --c4: #e69f00; --c5: #3fa3d6;
  --c6: #a08c00; --c7: #7d8590;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12151a; --raised: #1b2027; --ink: #e6e9ee; --soft: #a3acb8; --rule: #39414c;
    --grid: #2a313a; --link: #79b8ff;
    --c0: #4aa3e0; --c1: #ff8340; --c2: #2fc596; --c3: #e295c2; --c4: #f2b632; --c5: #8fd3f7;
    --c6: #d9cb4a; --c7: #98a1ac;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 1320px; padding: 0 16px 48px; background: var(--ground);
  color: var(--ink); font: 15px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.5rem; margin: 20px 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 36px 0 4px; }
a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 6px 0; }
nav a { padding: 4px 0; }
.about, .note { color: var(--soft); margin: 2px 0 12px; max-width: 90ch; overflow-wrap: anywhere; }
.grid {
  display: grid; gap: 14px; align-items: start; margin: 0 0 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 380px), 1fr));
}
figure {
  margin: 0; padding: 10px 10px 8px; background: var(--raised); border-radius: 8px; min-width: 0;
  position: relative;
}
figcaption { font-weight: 600; margin: 0 0 4px 4px; overflow-wrap: anywhere; }
figure > svg { display: block; width: 100%; height: auto; touch-action: pan-y; }
svg text { fill: var(--soft); font-size: 12px; }
svg .label { fill: var(--ink); }
svg .name { fill: var(--ink); font-size: 12px; }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
.grid path, .axis { stroke-width: 1; }
svg .grid { stroke: var(--grid); fill: none; display: inline; }
svg .axis { stroke: var(--soft); fill: none; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.curve {
  fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round;
}
.p1 { stroke-dasharray: 6 3.5; } .p2 { stroke-dasharray: 2 3; } .p3 { stroke-dasharray: 8 3 2 3; }
.dot { fill: var(--c); stroke: none; }
.area { fill: var(--c); stroke: var(--raised); stroke-width: 0.6; stroke-dasharray: none; }
.mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; fill: none; }
.markhead { fill: var(--soft); }
.cursor { stroke: var(--ink); stroke-width: 1; opacity: 0.6; }
.legend {
  list-style: none; margin: 4px 0 6px; padding: 0 4px; display: flex; flex-wrap: wrap;
  gap: 2px 14px; font-size: 0.86rem; overflow-wrap: anywhere;
}
.legend svg { width: 22px; height: 12px; margin-right: 5px; }
details { font-size: 0.86rem; margin: 4px; }
summary { cursor: pointer; color: var(--soft); padding: 3px 0; }
.scroll { overflow: auto; }
details .scroll { max-height: 26rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0 0 8px; }
caption { text-align: left; font-weight: 600; padding: 8px 0 4px; }
th, td { padding: 3px 12px 3px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
td { text-align: right; }
th { text-align: left; font-weight: 500; }
td + td, th + td { padding-left: 6px; }
th[scope=row] { position: sticky; left: 0; background: var(--ground); }
figure th[scope=row] { background: var(--raised); }
thead th { color: var(--soft); }
thead th + th { text-align: right; }
.words td, .words thead th + th { text-align: left; min-width: 9ch; max-width: 60ch; }
pre { margin: 0; padding: 8px; background: var(--raised); border-radius: 8px; }
.tip {
  position: absolute; z-index: 2; pointer-events: none; background: var(--ground);
  color: var(--ink); border: 1px solid var(--rule); border-radius: 6px; padding: 4px 8px;
  font-size: 0.82rem; line-height: 1.35; max-width: 75%; overflow-wrap: anywhere;
  box-shadow: 0 2px 8px rgb(0 0 0 / 25%);
}
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print { body { max-width: none; } nav { display: none; } figure { break-inside: avoid; } }
)css";

}  // namespace lockstep::report
