"use strict";
// Draws the lists of the page: search, filter, pages. Text from the corpus only ever becomes a text node.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const label = (kind) => {
    const chip = document.querySelector(`.legend .badge.${kind}`);
    return chip ? chip.textContent : kind;
  };

  function marked(node, parts) {
    parts.forEach((part, i) => {
      if (!part) return;
      if (i % 2) {
        const mark = document.createElement("mark");
        mark.textContent = part;
        node.append(mark);
      } else node.append(part);
    });
  }

  // one filler per field that is more than plain text
  const fillers = {
    left: marked,
    right: marked,
    kind(node, kind) {
      node.textContent = label(kind);
      node.classList.add(kind);
    },
    benchmark(node, name, item) {
      if (!item.item.startsWith(name)) node.textContent = name;
    },
    detectors(node, found) {
      for (const [name, score, rank] of found) {
        const one = document.createElement("span");
        const bold = document.createElement("b");
        one.className = "det";
        bold.textContent = name;
        one.append(bold, ` ${score}${rank ? `, ${rank}` : ""}`);
        node.append(one, " ");
      }
    },
  };

  function draw(template, item) {
    const node = template.content.firstElementChild.cloneNode(true);
    for (const part of node.querySelectorAll("[data-if]"))
      if (!item[part.dataset.if] || !item[part.dataset.if].length) part.remove();
    for (const part of node.querySelectorAll("[data-f]")) {
      const field = part.dataset.f;
      if (fillers[field]) fillers[field](part, item[field], item);
      else part.textContent = item[field];
    }
    return node;
  }

  const words = (item) => {
    if (item.hay === undefined) {
      const flat = Object.values(item).map((v) => (Array.isArray(v) ? v.flat().join(v.length && Array.isArray(v[0]) ? " " : "") : v));
      item.hay = flat.join("\n").toLowerCase();
    }
    return item.hay;
  };

  function browse(section, items, template) {
    const find = (selector) => section.querySelector(selector);
    const list = find("[data-list]"), search = find("[data-search]");
    const chips = [...section.querySelectorAll("[data-kind]")], selects = [...section.querySelectorAll("[data-select]")];
    const size = 10;
    const view = { page: 0, kind: "", matching: items };

    const chosen = (item) =>
      (!view.kind || item.kind === view.kind) &&
      selects.every(({ value, dataset }) => !value || (dataset.select === "detector" ? item.detectors.some((d) => d[0] === value) : item[dataset.select] === value));

    function show(from, to) {
      list.replaceChildren(...view.matching.slice(from, to).map((item) => draw(template, item)));
      // a box that scrolls must be reachable by keyboard, one that does not need not stop the tab key
      for (const box of list.querySelectorAll(".text")) {
        if (box.scrollHeight <= box.clientHeight + 1) continue;
        box.tabIndex = 0;
        // the shared words may stand far down a long row: show the longest stretch of them first
        const marks = [...box.querySelectorAll("mark")];
        const longest = marks.reduce((best, mark) => (!best || mark.textContent.length > best.textContent.length ? mark : best), null);
        if (longest) box.scrollTop += longest.getBoundingClientRect().top - box.getBoundingClientRect().top - 24;
      }
    }

    function refresh() {
      const n = view.matching.length, pages = Math.max(1, Math.ceil(n / size));
      view.page = Math.min(Math.max(view.page, 0), pages - 1);
      const from = view.page * size, to = Math.min(n, from + size);
      show(from, to);
      find("[data-state]").textContent = n ? `Showing ${(from + 1).toLocaleString("en")} to ${to.toLocaleString("en")} of ${n.toLocaleString("en")}` : "";
      find("[data-nothing]").hidden = n > 0;
      find(".pager").hidden = pages < 2;
      find("[data-where]").textContent = `Page ${view.page + 1} of ${pages}`;
      for (const button of section.querySelectorAll("[data-page]")) {
        const back = button.dataset.page === "first" || button.dataset.page === "previous";
        button.disabled = back ? view.page === 0 : view.page === pages - 1;
      }
      for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.kind === view.kind));
    }

    function filter() {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      view.matching = items.filter((item) => chosen(item) && wanted.every((word) => words(item).includes(word)));
      view.page = 0;
      refresh();
    }

    let waiting = 0;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(filter, 120);
    });
    for (const select of selects) select.addEventListener("change", filter);
    for (const chip of chips)
      chip.addEventListener("click", () => {
        view.kind = chip.dataset.kind;
        filter();
      });
    find("[data-reset]").addEventListener("click", () => {
      search.value = "";
      view.kind = "";
      for (const select of selects) select.value = "";
      filter();
      search.focus();
    });
    for (const button of section.querySelectorAll("[data-page]"))
      button.addEventListener("click", () => {
        const last = Math.ceil(view.matching.length / size) - 1;
        view.page = { first: 0, previous: view.page - 1, next: view.page + 1, last }[button.dataset.page];
        refresh();
        find("[data-state]").scrollIntoView({ block: "start" });
      });
    // on paper there are no pages to turn: the first ones of the present filter are printed
    addEventListener("beforeprint", () => {
      show(0, 20);
      const n = view.matching.length;
      if (n > 20) find("[data-state]").textContent = `The first 20 of ${n.toLocaleString("en")}`;
    });
    addEventListener("afterprint", refresh);
    refresh();
  }

  for (const section of document.querySelectorAll("[data-browser]")) {
    const template = section.querySelector("template");
    if (template) browse(section, data[section.dataset.browser] || [], template);
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // a page opened from a file may not be let to the clipboard: select the command, so that Ctrl+C takes it
      getSelection().selectAllChildren(code);
      said = "Selected";
    }
    button.textContent = said;
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  // details are opened for paper, and left afterwards as they were
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
})();
