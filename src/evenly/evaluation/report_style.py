"""How a report looks: on a screen, on a phone, in the dark, and on paper."""

STYLE = """
:root {
  --ink: #1f2430; --muted: #5f6775; --line: #e1e4e9; --paper: #ffffff; --card: #f6f7f9; --link: #0b5c96;
  --better: #00694d; --worse: #a84300;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e7e9ee; --muted: #a2a9b6; --line: #363c48; --paper: #171a20; --card: #20242c; --link: #7cc0f2;
    --better: #4fd0a8; --worse: #f59a5c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 66rem;
  color: var(--ink); background: var(--paper); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC",
    "PingFang SC", "Microsoft YaHei", sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); font-size: 1.2rem; }
p, ul { max-width: 46rem; }
ul { padding-left: 1.25rem; }
li { margin: .3rem 0; }
a { color: var(--link); }
.summary { margin: 0 0 1rem; font-size: 1.05rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; margin: 0 0 1rem; }
dt, .numbers span { color: var(--muted); font-size: .8rem; }
dd { margin: 0; font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; }

.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; }
.numbers div { padding: .7rem .85rem; border-radius: .5rem; background: var(--card); }
.numbers span, .numbers b, small { display: block; }
.numbers b { font-size: 1.55rem; line-height: 1.3; }
small { color: var(--muted); font-size: .75rem; font-weight: 400; line-height: 1.35; }

.scroll { margin: 1rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .4rem; color: var(--muted); text-align: left; }
th, td {
  padding: .35rem .7rem; border-bottom: 1px solid var(--line);
  text-align: right; vertical-align: top; overflow-wrap: normal;
}
td small { white-space: nowrap; }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
th:first-child {
  padding-left: 0; min-width: 8rem; max-width: 20rem; text-align: left; overflow-wrap: anywhere;
}
td.better { color: var(--better); font-weight: 600; }
td.worse { color: var(--worse); font-weight: 600; }

.figures {
  display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
}
.figures figure { margin: 0; }
.figures .wide { grid-column: 1 / -1; }
img {
  max-width: 100%; height: auto; padding: .6rem; background: #ffffff;
  border: 1px solid var(--line); border-radius: .5rem;
}
figcaption { color: var(--muted); font-size: .875rem; }

@media print {
  :root {
    --ink: #000000; --muted: #444444; --line: #cccccc; --paper: #ffffff; --card: #f3f3f3; --link: #000000;
    --better: #00553f; --worse: #8a3700;
  }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .3rem; }
  small { font-size: 6.5pt; }
  th:first-child { min-width: 0; }
  thead { display: table-header-group; }
  figure, tr, .numbers div { break-inside: avoid; }
  h2 { break-after: avoid; }
  .figures { grid-template-columns: 1fr 1fr; }
  img { max-height: 21cm; padding: 0; border: 0; }
}
"""
