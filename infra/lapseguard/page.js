"use strict";
// Sorting, a filter, and unfolding for print. Without this script the page is whole: by risk, each row to be opened.
(function () {
  var table = document.getElementById("t"), body = table.tBodies[0];
  var rows = Array.prototype.map.call(body.rows, function (tr) {
    return { tr: tr, rank: +tr.dataset.rank, addresses: +tr.dataset.n, domain: tr.querySelector("summary bdi").textContent,
      text: tr.querySelector("summary").textContent + " " + tr.cells[1].textContent + " " + tr.cells[2].textContent, details: tr.querySelector("details") };
  });
  var orders = {
    domain: { first: "ascending", by: function (a, b) { return a.domain < b.domain ? -1 : a.domain > b.domain ? 1 : 0; } },
    risk: { first: "descending", by: function (a, b) { return b.rank - a.rank; } },
    addresses: { first: "descending", by: function (a, b) { return a.addresses - b.addresses; } }
  };
  var heads = Array.prototype.slice.call(table.querySelectorAll("th[data-key]"));
  function sort(th) {
    var order = orders[th.dataset.key], now = th.getAttribute("aria-sort");
    var next = !now ? order.first : now === "ascending" ? "descending" : "ascending";
    heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
    th.setAttribute("aria-sort", next);
    var sign = next === "ascending" ? 1 : -1;
    rows.sort(function (a, b) { return sign * order.by(a, b) || a.rank - b.rank; });
    var all = document.createDocumentFragment();
    rows.forEach(function (r) { all.appendChild(r.tr); });
    body.appendChild(all);
  }
  heads.forEach(function (th) {
    var b = document.createElement("button");
    b.type = "button";
    b.textContent = th.textContent;
    if (th.dataset.key === "risk") { b.title = "sort by risk"; }
    b.addEventListener("click", function () { sort(th); });
    th.replaceChildren(b);
  });

  var tools = document.createElement("div"), input = document.createElement("input"), fold = document.createElement("button"), shown = document.createElement("span");
  tools.className = "tools";
  input.type = "search";
  input.placeholder = "Filter: domain, action, phase …";
  input.setAttribute("aria-label", "Filter by domain, action or phase");
  fold.type = "button";
  shown.setAttribute("role", "status");
  function label() { fold.textContent = rows.some(function (r) { return r.details.open; }) ? "Fold all" : "Unfold all"; }
  fold.addEventListener("click", function () {
    var open = !rows.some(function (r) { return r.details.open; });
    rows.forEach(function (r) { r.details.open = open && !r.tr.hidden; });
    label();
  });
  body.addEventListener("toggle", label, true);
  input.addEventListener("input", function () {
    var want = input.value.trim().toLowerCase(), n = 0;
    rows.forEach(function (r) { r.tr.hidden = want !== "" && r.text.toLowerCase().indexOf(want) < 0; if (!r.tr.hidden) { n++; } });
    shown.textContent = want === "" ? "" : n + " of " + rows.length;
  });
  label();
  tools.append(input, fold, shown);
  table.before(tools);

  var folded = [];
  addEventListener("beforeprint", function () {
    folded = rows.filter(function (r) { return !r.details.open; });
    folded.forEach(function (r) { r.details.open = true; });
  });
  addEventListener("afterprint", function () { folded.forEach(function (r) { r.details.open = false; }); });
})();
