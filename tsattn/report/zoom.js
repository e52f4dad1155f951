// Zoom of the charts: buttons, double click, drag, and pinch or Ctrl and wheel. Without scripts the charts are complete.
for (const svg of document.querySelectorAll("svg.chart")) {
  const { x, y, width, height } = svg.viewBox.baseVal;
  const whole = { x, y, width, height };
  let view = { ...whole };
  let dragged = null;

  const show = () => {
    view.width = Math.min(view.width, whole.width);
    view.height = view.width * whole.height / whole.width;
    view.x = Math.min(Math.max(view.x, whole.x), whole.x + whole.width - view.width);
    view.y = Math.min(Math.max(view.y, whole.y), whole.y + whole.height - view.height);
    svg.setAttribute("viewBox", [view.x, view.y, view.width, view.height].join(" "));
    svg.classList.toggle("zoomed", view.width < whole.width);
    reset.hidden = view.width === whole.width;
  };
  const zoom = (factor, right = 0.5, down = 0.5) => {
    const size = Math.max(view.width / factor, whole.width / 16);
    view.x += (view.width - size) * right;
    view.y += (view.height - size * whole.height / whole.width) * down;
    view.width = size;
    show();
  };
  const zoomAt = (event, factor) => {
    const box = svg.getBoundingClientRect();
    event.preventDefault();
    zoom(factor, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  const button = (text, label, action) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: text, title: label, onclick: action });
    made.setAttribute("aria-label", label);
    tools.append(made);
    return made;
  };

  const tools = document.createElement("div");
  tools.className = "tools";
  const reset = button("whole", "Show the whole chart", () => { view = { ...whole }; show(); });
  button("−", "Zoom out", () => zoom(1 / 1.5));
  button("+", "Zoom in", () => zoom(1.5));
  svg.parentElement.before(tools);
  tools.classList.add(...svg.parentElement.classList);
  tools.classList.remove("picture", "scrolled");

  svg.addEventListener("dblclick", (event) => zoomAt(event, 2));
  svg.addEventListener("wheel", (event) => { if (event.ctrlKey) zoomAt(event, Math.exp(-event.deltaY / 200)); }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    if (view.width === whole.width) return;
    dragged = { left: event.clientX, top: event.clientY, x: view.x, y: view.y };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    const scale = view.width / svg.getBoundingClientRect().width;
    view.x = dragged.x - (event.clientX - dragged.left) * scale;
    view.y = dragged.y - (event.clientY - dragged.top) * scale;
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { dragged = null; });
  show();
}
