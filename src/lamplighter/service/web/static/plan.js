// The form of a plan: goes to what was found out, and shows of the rate only what belongs to its kind.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const found = document.getElementById("refusal") || document.getElementById("dry-run");
  if (found) {
    found.setAttribute("tabindex", "-1");
    found.focus();
  }
  const kind = document.getElementById("f-rate.kind");
  if (!kind) return;
  const needs = { constant: [], stepped: ["step", "every", "cap"], exponential: ["factor", "every", "cap"] };
  const show = () => {
    for (const name of ["step", "factor", "every", "cap"]) {
      const input = document.getElementById("f-rate." + name);
      if (!input) continue;
      const needed = needs[kind.value].includes(name);
      input.closest(".field").hidden = !needed;
      input.disabled = !needed; // what does not belong to the kind is not sent
    }
  };
  kind.addEventListener("change", show);
  show();
});
