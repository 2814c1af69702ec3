// Adds a button beside each digest that copies all of it. Without scripts it can be selected.
"use strict";

for (const place of document.querySelectorAll(".digest")) {
  const whole = place.querySelector("details code");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  const label = `Copy ${place.querySelector("code").textContent}`;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(whole)) ? "Copied" : "Not copied";
    button.setAttribute("aria-label", button.textContent);
    setTimeout(() => {
      button.textContent = "Copy";
      button.setAttribute("aria-label", label);
    }, 2000);
  });
  place.insertBefore(button, place.querySelector("details"));
}

async function copy(element) {
  // Browsers have the clipboard only over TLS and on the loopback address.
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(element.textContent).then(() => true, () => false);
  }
  element.closest("details").open = true;
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}
