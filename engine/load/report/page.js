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
