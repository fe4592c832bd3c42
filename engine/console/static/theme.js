// Light or dark: as the system has it, or as was chosen here. Before anything is painted.
"use strict";
(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("stoker-theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
})();
