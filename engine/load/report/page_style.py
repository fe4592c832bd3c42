"""How the page of a result looks, and its script: what is pointed at says its figures."""

STYLE = """
:root{--bg:#f4f5f7;--card:#fff;--ink:#1a2230;--muted:#566070;--line:#e1e4e9;--blue:#0a66b0;--bad:#b3260b;--bad-bg:#fdeeea;
--tip:#1a2230;--tip-ink:#fff;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--bg:#0f1217;--card:#171b22;--ink:#e8ebf0;--muted:#a3adba;--line:#2a303a;
--blue:#63b3f4;--bad:#ff8f70;--bad-bg:#331a14;--tip:#e8ebf0;--tip-ink:#12161c}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:960px;margin:0 auto;padding:40px 16px 32px}
h1{margin:0;font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.015em}
h2{margin:0 0 12px;font-size:15px;font-weight:600}
h1,dt,dd,li,p{overflow-wrap:anywhere}
p,dl,dd,ul,figure{margin:0;padding:0}
p+p{margin-top:8px}
ul{list-style:none}
.kicker{color:var(--muted);font-size:13px;margin-bottom:4px}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:10px 28px}
.facts dt{color:var(--muted);font-size:13px}
header .facts{margin-top:20px}
main>section,.columns>section,figure{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:20px}
main>section,.columns{margin-top:16px}
main>.charts,main>section[aria-label="Main figures"]{background:none;border:0;padding:0}
main>.void{background:var(--bad-bg);border:2px solid var(--bad);margin-top:24px}
.void h2{font-size:20px;color:var(--bad);margin-bottom:4px}
.void ul{list-style:disc;padding-left:20px;margin-top:6px}
.tiles{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:1px;background:var(--card);
border:1px solid var(--line);border-radius:10px;overflow:hidden;margin-top:8px}
.tile{background:var(--card);padding:14px 16px;box-shadow:0 0 0 1px var(--line)}
.tile dt{color:var(--muted);font-size:13px}
.tile dd{font-size:23px;line-height:1.3;font-weight:600;letter-spacing:-.01em}
.tile small{display:block;font-size:12px;line-height:1.45;font-weight:400;letter-spacing:0;color:var(--muted)}
.tile.bad dd{color:var(--bad)}
.charts{display:grid;gap:16px}
figure{min-width:0;padding:14px 20px}
.narrow{display:none}
.columns{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;align-items:start;
grid-template-rows:auto auto 1fr}
.columns>section:first-child{grid-column:1/-1}
.columns>section:nth-child(2){grid-row:span 2}
.columns .facts{grid-template-columns:minmax(0,1fr);gap:6px}
.columns .facts div{display:grid;grid-template-columns:104px minmax(0,1fr)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:5px 0 5px 14px;text-align:right;white-space:nowrap;font-weight:400}
tr>:first-child{text-align:left;padding-left:0}
th{color:var(--muted);max-width:130px;overflow:hidden;text-overflow:ellipsis}
tbody tr{border-top:1px solid var(--line)}
.endings>li{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 12px;margin-bottom:12px}
.endings>li:last-child{margin-bottom:0}
.endings p{flex:0 0 100%;margin:3px 0}
.endings i{display:block;height:4px;min-width:2px;border-radius:2px;background:var(--blue)}
.endings .bad i{background:var(--bad)}
.endings ul{flex:0 0 100%;font-size:13px;color:var(--muted);margin-top:2px}
.endings b{color:var(--ink);font-weight:600}
footer{margin-top:24px;color:var(--muted);font-size:13px}
#tip{position:fixed;left:0;top:0;z-index:1;max-width:240px;padding:7px 10px;border-radius:6px;background:var(--tip);
color:var(--tip-ink);font-size:12.5px;line-height:1.45;white-space:pre-line;pointer-events:none;overflow-wrap:anywhere}
#tip[hidden]{display:none}
@media(max-width:900px){.wide{display:none}.narrow{display:block}.charts{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media(max-width:719px){.charts,.columns{grid-template-columns:minmax(0,1fr)}
.columns>section:nth-child(2){grid-row:auto}.narrow{max-width:480px;margin:0 auto}
main{padding:24px 12px}h1{font-size:25px}.facts{grid-template-columns:minmax(0,1fr)}
.facts div{display:grid;grid-template-columns:104px minmax(0,1fr)}.facts dd{font-size:14px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tile{padding:12px}.tile dd{font-size:20px}
main>section,.columns>section{padding:14px 12px}figure{padding:8px 12px}}
@media print{body{background:none}figure,section{break-inside:avoid}}
"""

# A browser's own tooltips come late, and on a phone never.
SCRIPT = """
"use strict";
(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const hit of document.querySelectorAll(".hit")) {
    const title = hit.querySelector("title");
    hit.dataset.tip = title.textContent;
    title.remove();
  }
  const point = (event) => {
    const hit = event.target instanceof Element && event.target.closest(".hit");
    tip.hidden = !hit;
    if (!hit) return;
    tip.textContent = hit.dataset.tip;
    const {offsetWidth: width, offsetHeight: height} = tip;
    const right = event.clientX + 14 + width <= innerWidth;
    const x = right ? event.clientX + 14 : Math.max(4, event.clientX - 14 - width);
    const y = Math.min(Math.max(4, event.clientY - height - 10), innerHeight - height - 4);
    tip.style.transform = `translate(${x}px,${y}px)`;
  };
  addEventListener("pointermove", point);
  addEventListener("pointerdown", point);
  addEventListener("scroll", () => { tip.hidden = true; }, {passive: true});
})();
"""
