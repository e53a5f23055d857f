"""The report's style sheet: system fonts, light and dark, one column on a phone; nothing is fetched."""

CSS = """
:root{--paper:#fff;--ink:#1f2328;--quiet:#666d75;--faint:#d8dce1;--card:#f6f8fa;--link:#0059a8;
--good:#13703f;--warn:#8a5300;
--bad:#b3261e;--goodbg:#e3f4ea;--warnbg:#fdf0d8;--badbg:#fce4e2;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#cc79a7;--s4:#e69f00;--s5:#56b4e9}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e4e7eb;--quiet:#a1a9b3;--faint:#363c44;--card:#1c2127;
--link:#7cc0ff;--good:#6fd89c;--warn:#f2bd62;--bad:#ff9a90;--goodbg:#15301f;--warnbg:#36280f;--badbg:#421b18;
--s0:#4aa8e0;--s1:#f0833a;--s2:#2fc79b;--s3:#e39ac4;--s4:#f0b53f;--s5:#7fcaf2}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:86rem;padding:1.25rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
h1{font-size:1.55rem;line-height:1.25;margin:.2rem 0 .6rem;max-width:52rem}
h2{font-size:1.15rem;margin:2.4rem 0 .6rem;padding-top:.9rem;border-top:1px solid var(--faint)}
h3{font-size:1rem;margin:1rem 0 .4rem}
p{margin:.4rem 0;max-width:52rem}
.kicker,.note,footer{color:var(--quiet);font-size:.85rem}
.kicker{text-transform:uppercase;letter-spacing:.06em;margin:0}
code{background:var(--card);border:1px solid var(--faint);border-radius:4px;padding:.05em .3em;
font-size:.86em;display:inline-block;max-width:100%;
overflow-wrap:anywhere;vertical-align:baseline;line-height:1.35}
ul.findings{list-style:none;padding:0;margin:1rem 0;display:grid;gap:.6rem}
ul.findings li{background:var(--card);border-left:4px solid var(--faint);border-radius:4px;
padding:.6rem .9rem;overflow-wrap:anywhere}
li.good{border-color:var(--good)!important}li.warn{border-color:var(--warn)!important}
li.bad{border-color:var(--bad)!important}
li b{display:block}
.scroll{overflow-x:auto;border:1px solid var(--faint);border-radius:6px}
.tall{max-height:34rem;overflow-y:auto}
table{border-collapse:collapse;width:100%;font-size:.86rem;font-variant-numeric:tabular-nums}
th,td{padding:.38rem .65rem;text-align:left;white-space:nowrap;max-width:22rem;overflow:hidden;text-overflow:ellipsis;
border-bottom:1px solid var(--faint)}
tbody tr:last-child>*{border-bottom:0}
thead th{background:var(--card);color:var(--quiet);font-weight:600;position:sticky;top:0;z-index:1}
tbody th{font-weight:600;position:sticky;left:0;background:var(--paper)}
.wrap td{white-space:normal;overflow-wrap:anywhere}
.n{text-align:right}
td.good,th.good{color:var(--good);background:var(--goodbg)}td.warn{color:var(--warn);background:var(--warnbg)}
td.bad{color:var(--bad);background:var(--badbg);font-weight:600}td.quiet{color:var(--quiet)}
td.best,th.best{font-weight:700;color:var(--good)}
figure{margin:.8rem 0;overflow-x:auto}
figure svg{display:block;width:100%;min-width:40rem;height:auto}
figure svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif!important}
details{border:1px solid var(--faint);border-radius:6px;padding:.5rem .9rem;margin:.4rem 0}
summary{cursor:pointer;font-weight:600;overflow-wrap:anywhere}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media(max-width:40rem){body{padding:.9rem}h1{font-size:1.25rem}th,td{padding:.32rem .5rem}}
@media print{.scroll,.tall{overflow:visible;max-height:none}details>*{display:block}}
""".strip()
