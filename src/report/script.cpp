// Reading values off a figure, by pointer, finger or arrow keys. The page is whole without it: the
// values are those of the table below each figure.
#include "report/page.h"

namespace lockstep::report {

const char* const kScript = R"js('use strict';
for (const figure of document.querySelectorAll('figure')) {
  const svg = figure.querySelector(':scope > svg');
  // A browser would show the picture's title over every value.
  const title = svg.querySelector(':scope > title');
  svg.setAttribute('aria-label', title.textContent);
  svg.removeAttribute('aria-labelledby');
  title.remove();
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  tip.setAttribute('role', 'status');
  figure.append(tip);
  const show = (lines, x, y) => {
    tip.replaceChildren(...lines.map((line) => {
      const div = document.createElement('div');
      div.textContent = line;
      return div;
    }));
    tip.hidden = false;
    const left = x + 14 + tip.offsetWidth > figure.clientWidth ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = Math.max(4, Math.min(left, figure.clientWidth - tip.offsetWidth - 4)) + 'px';
    tip.style.top = Math.max(4, y) + 'px';
  };
  if (svg.classList.contains('plot')) curves(figure, svg, show, () => { tip.hidden = true; });
  else bars(figure, svg, show, () => { tip.hidden = true; });
}

function bars(figure, svg, show, hide) {
  for (const bar of svg.querySelectorAll('rect')) {
    const says = bar.querySelector('title').textContent;
    bar.querySelector('title').remove();
    bar.addEventListener('pointermove', (event) => {
      const at = figure.getBoundingClientRect();
      show([says], event.clientX - at.left, event.clientY - at.top + 12);
    });
    bar.addEventListener('pointerleave', hide);
  }
}

function curves(figure, svg, show, hide) {
  let rows = null, names = null, cursor = null, place = 0;
  const data = svg.dataset;
  const left = 50, right = 408;
  const number = (text) => Number(text) / data.factor;
  const across = (x) => data.scale === 'log'
    ? Math.log(x / data.low) / Math.log(data.high / data.low)
    : (x - data.low) / (data.high - data.low);
  const read = () => {
    const table = figure.querySelector('table');
    names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    rows = [...table.tBodies[0].rows].map((row) => {
      const cells = [...row.cells].map((cell) => cell.textContent.trim());
      return {at: left + (right - left) * across(number(cells[0])), cells};
    });
    cursor = svg.querySelector('path').cloneNode();
    cursor.setAttribute('class', 'cursor');
    svg.append(cursor);
  };
  const point = () => {
    const row = rows[place];
    const lines = names.map((name, i) => [name, row.cells[i]]).filter((line) => line[1])
      .map((line) => line[0].replace(/ \[(number|1)\]$/, '') + ': ' + line[1]);
    cursor.setAttribute('d', `M${row.at} 26V208`);
    const box = svg.getBoundingClientRect(), at = figure.getBoundingClientRect();
    show(lines, box.left - at.left + row.at * box.width / 420, box.top - at.top + 20);
  };
  const nearest = (x) => {
    let low = 0, high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].at < x) low = middle + 1; else high = middle;
    }
    return low > 0 && x - rows[low - 1].at < rows[low].at - x ? low - 1 : low;
  };
  const follow = (event) => {
    if (!rows) read();
    const box = svg.getBoundingClientRect();
    place = nearest((event.clientX - box.left) * 420 / box.width);
    point();
  };
  const leave = () => { hide(); if (cursor) cursor.setAttribute('d', ''); };
  svg.addEventListener('pointermove', follow);
  svg.addEventListener('pointerdown', follow);
  svg.addEventListener('pointerleave', leave);
  svg.addEventListener('blur', leave);
  svg.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    if (!rows) read();
    place = Math.max(0, Math.min(rows.length - 1, place + step));
    point();
    event.preventDefault();
  });
}
)js";

}  // namespace lockstep::report
