// Nothing that a page says needs this: columns sort at a click, words of pictures show at once, print opens all.
Tablesort.extend("number", () => false, (a, b) => {
  const [x, y] = [a, b].map((text) => (text === "" ? -Infinity : Number(text)));
  return x === y ? 0 : y > x ? 1 : -1;
});
for (const table of document.querySelectorAll("table.sortable")) new Tablesort(table);

const tip = document.body.appendChild(document.createElement("div"));
tip.id = "tip";
tip.hidden = true;
for (const mark of document.querySelectorAll(".picture rect")) {
  const title = mark.querySelector("title");
  mark.addEventListener("pointerenter", () => {
    tip.textContent = title.textContent;
    title.remove();
    tip.hidden = false;
  });
  mark.addEventListener("pointermove", (event) => {
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 18 + tip.offsetHeight < innerHeight ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10;
    tip.style.left = `${Math.max(left, 4)}px`;
    tip.style.top = `${top}px`;
  });
  mark.addEventListener("pointerleave", () => {
    mark.append(title);
    tip.hidden = true;
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
