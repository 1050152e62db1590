"use strict";
// Before the first paint: the theme that was chosen here, else what the system prefers.
(() => {
  const wanted = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch { chosen = null; }
    const dark = chosen === "dark" || (chosen !== "light" && wanted.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  wanted.addEventListener("change", apply);
  apply();
})();
