// Draws `content` as tables: {texts, tables: [{name, note, span, signed, values, why}]}, all of it plain text and numbers.
// Texts come from anywhere: they are only ever set as textContent or as an attribute.
// `pair` is the chosen cell, [row, column] or []: a click or a key on a cell sets it.

const HEADS = 128;  // pixels for the beginning of each sentence beside its row

// where a key leads from a cell: rows down, columns to the right
const STEPS = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -Infinity], End: [0, Infinity],
};

const make = (tag, parent, name = "") => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  parent.append(element);
  return element;
};

// Writes only what differs, so that the browser lays out no more than that.
const put = (element, key, value) => { if (element[key] !== value) element[key] = value };

const number = (value, signed) => {
  const digits = Math.abs(value).toFixed(2);
  if (digits === "0.00") return digits;
  return (value < 0 ? "-" : signed ? "+" : "") + digits;
};

const build = (root, content) => {
  root.replaceChildren();
  const count = content.texts.length;
  root.classList.toggle("wb-many", count > 14);
  return content.tables.map(({signed}) => {
    const cell = signed ? 36 : 30, figure = make("figure", root), least = count * cell + HEADS;
    figure.style.cssText = `flex: 1 1 ${least}px; min-width: min(100%, ${least}px); max-width: ${least + 320}px`;
    const table = make("table", figure), caption = make("caption", table);
    table.setAttribute("role", "grid");
    table.style.minWidth = `${least}px`;
    const name = make("div", caption, "wb-name"), note = make("div", caption, "wb-note");
    const columns = make("colgroup", table);
    make("col", columns);
    for (let j = 0; j < count; j++) make("col", columns).style.width = `${cell}px`;
    const head = make("tr", make("thead", table)), corner = make("td", head);
    corner.style.border = "0";
    const tops = content.texts.map((_, j) => {
      const top = make("th", head);
      top.scope = "col";
      top.textContent = j + 1;
      return top;
    });
    const body = make("tbody", table);
    const rows = content.texts.map((_, i) => {
      const row = make("tr", body), side = make("th", row);
      side.scope = "row";
      make("span", side, "wb-place").textContent = i + 1;
      const text = document.createTextNode("");
      side.append(text);
      const cells = content.texts.map((_, j) => {
        const cell = make("td", row);
        cell.dataset.row = i;
        cell.dataset.column = j;
        cell.tabIndex = i || j ? -1 : 0;  // a table is one stop of the tab key
        return cell;
      });
      return {side, text, cells};
    });
    return {figure, table, name, note, tops, rows};
  });
};

const fill = (drawn, content) => drawn.forEach((shown, which) => {
  const {name, note, span, signed, values, why} = content.tables[which];
  for (const [place, text] of [[shown.name, name], [shown.note, note]]) {
    put(place, "textContent", text);
    put(place, "title", text);
  }
  put(shown.table, "ariaLabel", name);
  shown.rows.forEach(({side, text, cells}, i) => {
    put(shown.tops[i], "title", content.texts[i]);
    put(side, "title", content.texts[i]);
    put(text, "data", content.texts[i]);
    cells.forEach((cell, j) => {
      const value = values?.[i]?.[j] ?? null;
      const share = value === null ? 0 : Math.min(1, Math.abs(value) / span);
      const kind = value === null ? "wb-none" : i === j ? "wb-self" : value < 0 ? "wb-less" : "wb-more";
      put(cell, "textContent", value !== null ? number(value, signed) : values ? "–" : "");
      put(cell, "className", kind + (share > 0.92 ? " wb-full" : ""));
      const reason = value === null ? why?.[i] ?? why?.[j] ?? "" : "";
      put(cell, "title", reason);
      put(cell, "ariaLabel", `row ${i + 1}, column ${j + 1}: ${reason || cell.textContent || "no number yet"}`);
      if (cell.dataset.share !== String(share)) {
        cell.dataset.share = share;
        cell.style.setProperty("--wb-share", `${(share * 100).toFixed(1)}%`);
      }
    });
  });
});

const render = ({model, el}) => {
  el.classList.add("wb-matrices");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Cosine similarity of every sentence with every other");
  // else Enter and the arrows are JupyterLab's
  el.dataset.lmSuppressShortcuts = "true";
  let drawn = [], shape = "";
  const mark = () => {
    const chosen = String(model.get("pair"));
    for (const cell of el.querySelectorAll("td[data-row]")) {
      put(cell, "ariaSelected", String(chosen === `${cell.dataset.row},${cell.dataset.column}`));
    }
  };
  const draw = () => {
    const content = model.get("content");
    const now = JSON.stringify([content.texts.length, content.tables.map(({signed}) => signed)]);
    if (now !== shape) drawn = build(el, content);
    shape = now;
    fill(drawn, content);
    mark();
  };
  const over = ({target}) => target.closest?.("td[data-row]") ?? null;
  // The two sentences of the cell under the pointer: their numbers stand out, their words are its title.
  const light = (event) => {
    for (const lit of el.querySelectorAll(".wb-lit")) lit.classList.remove("wb-lit");
    const cell = over(event);
    if (!cell) return;
    const i = Number(cell.dataset.row), j = Number(cell.dataset.column), {texts} = model.get("content");
    const which = drawn.findIndex(({figure}) => figure.contains(cell));
    if (which < 0) return;
    if (!cell.classList.contains("wb-none")) cell.title = `${cell.textContent}\n${i + 1} ${texts[i]}\n${j + 1} ${texts[j]}`;
    for (const {rows, tops} of drawn) {
      for (const element of [rows[i].side, tops[j], rows[i].cells[j]]) element.classList.add("wb-lit");
    }
  };
  const choose = (event) => {
    const cell = over(event);
    if (!cell) return;
    const pair = [Number(cell.dataset.row), Number(cell.dataset.column)];
    model.set("pair", String(pair) === String(model.get("pair")) ? [] : pair);
    model.save_changes();
  };
  const enter = (event) => {
    const cell = over(event);
    light(event);
    if (!cell) return;
    for (const before of cell.closest("table").querySelectorAll("td[tabindex='0']")) before.tabIndex = -1;
    cell.tabIndex = 0;
  };
  const press = (event) => {
    const cell = over(event), step = STEPS[event.key], chosen = event.key === "Enter" || event.key === " ";
    if (!cell || !(step || chosen) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (chosen) return choose(event);
    const {rows} = drawn.find(({figure}) => figure.contains(cell));
    const to = (place, by) => Math.max(0, Math.min(rows.length - 1, Number(place) + by));
    rows[to(cell.dataset.row, step[0])].cells[to(cell.dataset.column, step[1])].focus();
  };
  // Models are loaded once somebody looks: a tab that is not open stays cheap.
  const looking = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    looking.disconnect();
    if (!model.get("seen")) {
      model.set("seen", true);
      model.save_changes();
    }
  });
  draw();
  looking.observe(el);
  model.on("change:content", draw);
  model.on("change:pair", mark);
  el.addEventListener("pointerover", light);
  el.addEventListener("pointerleave", () => light({target: el}));
  el.addEventListener("focusin", enter);
  el.addEventListener("click", choose);
  el.addEventListener("keydown", press);
  return () => {
    looking.disconnect();
    model.off("change:content", draw);
    model.off("change:pair", mark);
  };
};

export default {render};
