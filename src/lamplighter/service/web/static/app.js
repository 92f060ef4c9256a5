// What the pages do beyond links and forms; all of it can be done without.
"use strict";

(() => {
  // An image can be dropped on its field; htmx has it checked as soon as there is one.
  for (const place of document.querySelectorAll("[data-drop]")) {
    const input = place.querySelector("input[type=file]");
    const over = (on) => place.classList.toggle("over", on);
    place.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
    place.addEventListener("dragleave", () => over(false));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      if (event.dataTransfer.files.length === 0) return;
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
  // A file beside the field must not make the browser leave the page.
  if (document.querySelector("[data-drop]")) {
    for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  }
  // Clocks of the page go on, so that a page that was left open is seen to be old.
  const clock = document.querySelector(".top .clock");
  if (clock) {
    const made = Date.now();
    window.setInterval(() => {
      const minutes = Math.floor((Date.now() - made) / 60000);
      if (minutes > 0) clock.dataset.age = `${minutes} min old`;
    }, 20000);
  }
})();
