"use strict";
// The gallery: filters and a detail sheet over the JSON in the page. Text from data only ever becomes textContent.
(function () {
  const data = JSON.parse(document.getElementById("items").textContent);
  const items = data.items, WHO = data.who;
  const list = document.getElementById("list");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const sheet = document.getElementById("sheet");
  const kinds = Array.from(document.querySelectorAll("#kinds button"));
  const byClass = document.getElementById("class");
  const byAnswer = document.getElementById("answer");
  const byModel = document.getElementById("model");
  const byOutcome = document.getElementById("outcome");
  const order = document.getElementById("order");
  const search = document.getElementById("search");
  const PAGE = 48;
  let kind = "all", shown = PAGE, hits = [], open = -1;

  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function said(entry) { return entry.answer === null ? "no answer (" + entry.outcome.replace("_", " ") + ")" : entry.answer; }
  function share(p) { return p === null || p === undefined ? "" : p > 0.995 && p < 1 ? ">99 %" : Math.round(100 * p) + " %"; }
  function picture(item) {
    if (!item.picture) return make("span", "blank", "no picture");
    const image = make("img");
    image.src = item.picture[0] === "#" ? document.querySelector(item.picture).src : item.picture;
    image.alt = "Test image " + item.id + ", truth: " + item.gold;
    image.loading = "lazy";
    image.decoding = "async";
    return image;
  }
  function right(entry) { return entry.outcome === "correct"; }
  function name(who) { return who.charAt(0).toUpperCase() + who.slice(1); }
  function answerLine(box, who, entry) {
    box.append(make("b", "", name(who)));
    const line = make("span");
    line.append(make("span", right(entry) ? "right" : "wrong", said(entry)));
    const p = share(entry.p);
    if (p) line.append(" ", make("span", "p", p));
    box.append(line);
  }
  function card(item, place) {
    const row = make("li");
    const button = make("button", "item");
    button.type = "button";
    button.append(picture(item));
    const says = make("span", "says");
    says.append(make("b", "", "Truth"), make("span", "", item.gold));
    WHO.forEach(function (who) { if (item.said[who]) answerLine(says, who, item.said[who]); });
    button.append(says);
    button.addEventListener("click", function () { show(place); });
    row.append(button);
    return row;
  }
  const SORTS = {
    file: function (a, b) { return a.index - b.index; },
    unsure: function (a, b) { return sure(a) - sure(b); },
    confident: function (a, b) { return mistake(b) - mistake(a); }
  };
  function asked(item) { return item.said[byModel.value]; }
  function sure(item) { const p = asked(item).p; return p === null || p === undefined ? 2 : p; }
  function mistake(item) { return right(asked(item)) ? 0 : 1 + (asked(item).p || 0); }
  function matches(item) {
    const words = search.value.trim().toLowerCase();
    return (kind === "all" || item.kinds.includes(kind))
      && (byClass.value === "" || item.gold === byClass.value)
      && (byOutcome.value === "" || asked(item).outcome === byOutcome.value)
      && (byAnswer.value === "" || asked(item).answer === byAnswer.value)
      && (words === "" || (item.id + " " + item.group).toLowerCase().includes(words));
  }
  function draw() {
    list.replaceChildren.apply(list, hits.slice(0, shown).map(card));
    count.textContent = hits.length.toLocaleString("en") + " of " + items.length.toLocaleString("en") + " test images"
      + (hits.length > shown ? ", the first " + shown + " shown" : "");
    more.hidden = hits.length <= shown;
  }
  function filter() {
    shown = PAGE;
    hits = items.filter(matches).sort(SORTS[order.value]);
    draw();
  }
  function fact(box, name, value) { box.append(make("dt", "", name), make("dd", "", value)); }
  function show(place) {
    open = place;
    const item = hits[place];
    const body = make("div", "sheet");
    const frame = make("div");
    frame.append(picture(item));
    const told = make("div", "told");
    const heading = make("h3", "", "Truth: " + item.gold);
    heading.id = "sheet-title";
    told.append(heading);
    const facts = make("dl");
    fact(facts, "Question", data.questions[item.question]);
    WHO.forEach(function (who) {
      const entry = item.said[who];
      if (!entry) return;
      facts.append(make("dt", "", name(who)));
      const line = make("dd");
      line.append(make("span", right(entry) ? "right" : "wrong", said(entry)));
      const bars = make("div", "bars");
      (entry.probabilities || []).forEach(function (pair) {
        const meter = make("meter");
        meter.value = pair[1];
        meter.setAttribute("aria-label", pair[0] + " " + share(pair[1]));
        bars.append(make("span", "", pair[0]), meter, make("span", "p", share(pair[1])));
      });
      line.append(bars);
      if (entry.even) line.append(make("div", "note", "As if all labels were as common as training made them."));
      if (entry.text !== undefined) line.append(make("div", "note", "Reply: “" + entry.text + "”"));
      if (entry.written !== undefined) line.append(make("div", "note", "Written freely: “" + entry.written + "”"));
      facts.append(line);
    });
    fact(facts, "Image", item.id + (item.images > 1 ? " (first of " + item.images + ")" : ""));
    if (item.group !== item.id) fact(facts, "Group", item.group);
    told.append(facts);
    body.append(frame, told);
    document.getElementById("body").replaceChildren(body);
    document.getElementById("previous").disabled = place === 0;
    document.getElementById("next").disabled = place === hits.length - 1;
    if (!sheet.open) sheet.showModal();
    sheet.scrollTop = 0;
  }
  function step(by) { if (hits[open + by]) show(open + by); }

  kinds.forEach(function (button) {
    button.addEventListener("click", function () {
      kind = button.value;
      kinds.forEach(function (other) { other.setAttribute("aria-pressed", String(other === button)); });
      filter();
    });
  });
  [byClass, byAnswer, byModel, byOutcome, order].forEach(function (select) { select.addEventListener("change", filter); });
  search.addEventListener("input", filter);
  more.addEventListener("click", function () { shown += PAGE; draw(); });
  document.getElementById("previous").addEventListener("click", function () { step(-1); });
  document.getElementById("next").addEventListener("click", function () { step(1); });
  document.getElementById("close").addEventListener("click", function () { sheet.close(); });
  sheet.addEventListener("keydown", function (event) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  sheet.addEventListener("click", function (event) { if (event.target === sheet) sheet.close(); });
  sheet.addEventListener("close", function () {
    const cards = list.querySelectorAll("button");
    if (cards[open]) cards[open].focus();
  });
  filter();
})();
