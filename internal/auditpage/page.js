"use strict";
{
  // What Go wrote: rows are arrays, in the order of these constants.
  const data = JSON.parse(document.getElementById("data").textContent);
  const KIND = 0, LABEL = 1; // of an object
  const NAME = 0, PROFILE = 1, MEMBERSHIPS = 2; // of a principal; memberships are pairs of role and state
  const TYPE = 1, MANAGER = 2, POLICY = 3, UNKNOWN = 4; // of a role, after its name
  const GRANT_ROLE = 0, SOURCE = 1, EFFECT = 2, TEXT = 3, STATE = 4, GRANT_MANAGER = 5, UNTIL = 6, UNCLEAR_WHY = 7; // of a grant
  const ALLOWED = 0, DENIED = 1; // verdicts; the third is unclear

  // What is marked, as bits. Those of states are the states' numbers.
  const DRIFT = 1, UNMANAGED = 2, UNCLEAR = 4, DENIAL = 8;
  const marks = [
    { bit: DRIFT, sign: "D", word: "drift", meaning: "Drift: the object that manages it does not have it" },
    { bit: UNMANAGED, sign: "U", word: "unmanaged", meaning: "Unmanaged: no object speaks of it" },
    { bit: UNCLEAR, sign: "?", word: "unclear", meaning: "Unclear: it cannot be told whether it applies" },
    { bit: DENIAL, sign: "×", word: "denied", meaning: "Denied" },
  ];
  const verdictBits = [0, DENIAL, UNCLEAR];
  const wanted = { drift: DRIFT, unmanaged: UNMANAGED, "drift-or-unmanaged": DRIFT | UNMANAGED, unclear: UNCLEAR, denied: DENIAL };

  // How much is drawn at once, and up to what size a matrix is printed as one.
  const ROWS = 200, COLUMNS = 60, ENTRIES = 1000, AT_ONCE = 30, PRINTED_COLUMNS = 12, PRINTED_CELLS = 2000;
  // Up to this many characters, the name of an action cannot stretch a column.
  const SHORT = 40;

  const byID = (id) => document.getElementById(id);
  const number = (n) => n.toLocaleString("en");
  const some = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

  // element makes an element. What it is given to hold are elements, and texts that stay texts.
  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }
  const named = (text) => element("bdi", { className: "name", textContent: text });

  // breakable is a name that is broken after its separators, and elsewhere only where that is not enough.
  function breakable(text) {
    const parts = text.split(/(?<=[._:@/-])/);
    return element("bdi", { className: "name" }, ...parts.flatMap((part, i) => i === 0 ? [part] : [document.createElement("wbr"), part]));
  }

  // The data, as it is looked through.

  const lower = (text) => text.toLowerCase();
  const objectNames = data.objects.map((o) => lower(o[LABEL]));
  const principalNames = data.principals.map((p) => lower(p[NAME]));
  const profiles = data.profiles.map((flat) => Int32Array.from(flat));
  const grantRole = Int32Array.from(data.grants, (g) => g[GRANT_ROLE]);
  const grantBits = Uint8Array.from(data.grants, (g) => g[STATE]);

  // memberBits are the states of one principal's memberships by role.
  const memberBits = new Uint8Array(data.roles.length);
  function enter(principal) {
    memberBits.fill(0);
    const memberships = data.principals[principal][MEMBERSHIPS];
    for (let i = 0; i < memberships.length; i += 2) memberBits[memberships[i]] |= memberships[i + 1];
  }

  // chainBits is what is marked of the way from the principal that was entered through a grant.
  function chainBits(grant) {
    const role = grantRole[grant];
    return grantBits[grant] | (role < 0 ? 0 : memberBits[role]);
  }

  // eachAction tells visit of the actions on an object that a principal has and the query lets through: of the action's place in the profile,
  // and its marks. The principal must have been entered.
  function eachAction(profile, from, to, query, visit) {
    for (let i = from; i < to; ) {
      const at = i, end = i + 3 + profile[i + 2];
      let bits = verdictBits[profile[i + 1]], ofRole = query.roles === null, seen = bits;
      for (let v = i + 3; v < end; v++) {
        const chain = chainBits(profile[v]);
        bits |= chain;
        if (query.roles === null || (grantRole[profile[v]] >= 0 && query.roles[grantRole[profile[v]]])) {
          ofRole = true;
          seen |= chain;
        }
      }
      i = end;
      if (ofRole && (query.action < 0 || query.action === profile[at]) && (query.bits === 0 || seen & query.bits)) visit(at, bits);
    }
  }

  // eachCell tells visit of the cells of a principal that hold something the query lets through: of the object, the actions' places and marks.
  function eachCell(principal, query, visit) {
    const profile = profiles[data.principals[principal][PROFILE]];
    enter(principal);
    for (let i = 0; i < profile.length; ) {
      const object = profile[i], from = i + 2, to = from + profile[i + 1];
      i = to;
      if (!query.objects[object]) continue;
      const actions = [];
      eachAction(profile, from, to, query, (at, bits) => actions.push({ at, bits }));
      if (actions.length > 0) visit(object, actions, profile);
    }
  }

  const everything = { objects: new Uint8Array(data.objects.length).fill(1), roles: null, action: -1, bits: 0 };

  // cellOf is all that a principal has on an object.
  function cellOf(principal, object) {
    let found = null;
    const only = { ...everything, objects: new Uint8Array(data.objects.length) };
    only.objects[object] = 1;
    eachCell(principal, only, (_, actions, profile) => { found = { actions, profile }; });
    return found;
  }

  // The filter.

  const defaults = { principal: "", object: "", kind: "", role: "", action: "", state: "", view: "matrix", sort: "" };
  let filter = { ...defaults };

  // fits tells whether a name holds the parts of a pattern one after another.
  function fits(name, parts) {
    let from = 0;
    for (const part of parts) {
      const at = name.indexOf(part, from);
      if (at < 0) return false;
      from = at + part.length;
    }
    return true;
  }
  const pattern = (text) => lower(text.trim()).split("*").filter((part) => part !== "");

  function compile() {
    const kind = filter.kind === "" ? -1 : data.kinds.indexOf(filter.kind), parts = pattern(filter.object);
    const narrow = filter.kind !== "" || parts.length > 0;
    return {
      objects: narrow
        ? Uint8Array.from(data.objects, (o, i) => (filter.kind === "" || o[KIND] === kind) && fits(objectNames[i], parts) ? 1 : 0)
        : everything.objects,
      narrow,
      roles: filter.role === "" ? null : Uint8Array.from(data.roles, (r) => r[NAME] === filter.role ? 1 : 0),
      // An action that nobody has is not the number of any.
      action: filter.action === "" ? -1 : data.actions.includes(filter.action) ? data.actions.indexOf(filter.action) : data.actions.length,
      bits: wanted[filter.state] ?? 0,
      principal: pattern(filter.principal),
    };
  }

  // byMembership tells whether a principal without a cell to show is still a row: memberships count where no object or action is asked for.
  function byMembership(principal, query) {
    if (query.narrow || query.action >= 0) return false;
    if (query.roles === null && query.bits === 0) return true;
    const memberships = data.principals[principal][MEMBERSHIPS];
    for (let i = 0; i < memberships.length; i += 2) {
      if ((query.roles === null || query.roles[memberships[i]]) && (query.bits === 0 || memberships[i + 1] & query.bits)) return true;
    }
    return false;
  }

  // look finds the rows and columns that the filter lets through, in the order of the page.
  function look() {
    const query = compile(), rows = [], used = new Uint8Array(data.objects.length);
    let cells = 0, entries = 0;
    for (let p = 0; p < data.principals.length; p++) {
      if (!fits(principalNames[p], query.principal)) continue;
      let count = 0, marked = 0;
      eachCell(p, query, (object, actions) => {
        used[object] = 1;
        count++;
        for (const action of actions) if (action.bits & ~DENIAL) marked++;
      });
      if (count === 0 && !byMembership(p, query)) continue;
      cells += count;
      entries += Math.max(1, count);
      rows.push({ principal: p, count, marked });
    }
    // Objects on which nobody has anything are columns as long as nothing but objects is asked for.
    const all = query.principal.length === 0 && query.roles === null && query.action < 0 && query.bits === 0;
    const columns = [];
    for (let o = 0; o < used.length; o++) if (all ? query.objects[o] : used[o]) columns.push(o);
    return { query, rows: sorted(rows), columns, used, cells, entries };
  }

  const orders = {
    principal: (a, b) => compare(a, b),
    "principal-down": (a, b) => compare(b, a),
    marks: (a, b) => b.marked - a.marked,
    objects: (a, b) => b.count - a.count,
  };
  function compare(a, b) {
    const x = principalNames[a.principal], y = principalNames[b.principal];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  const sorted = (rows) => filter.sort in orders ? rows.sort(orders[filter.sort]) : rows;

  // Marks, and what ways are told in.

  function mark(bits) {
    return marks.filter((m) => bits & m.bit).map((m) => {
      const made = element("span", { className: `mark ${m.bit === DENIAL ? "denial" : m.word}`, title: m.meaning, textContent: m.sign });
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", m.word);
      return made;
    });
  }
  const markWords = (bits) => marks.filter((m) => bits & m.bit).map((m) => m.word).join(", ");

  function actionElement(name, bits) {
    return element("span", { className: "action" }, element("span", { className: bits & DENIAL ? "denied" : "", textContent: name }), ...mark(bits));
  }

  // actionList holds what is marked in elements and the rest as plain text, since most cells have no marks and there are many cells.
  function actionList(actions, profile) {
    const list = [];
    for (const { at, bits } of actions) {
      const separated = list.length > 0 ? ", " : "";
      const name = data.actions[profile[at]];
      if (bits === 0 && name.length <= SHORT) list.push(separated + name);
      else list.push(separated, actionElement(name, bits));
    }
    return list;
  }

  const arrow = () => element("span", { className: "arrow", textContent: " → " });

  // way tells how a grant reaches the principal that was entered.
  function way(grant, actions) {
    const g = data.grants[grant], role = g[GRANT_ROLE], manager = data.managers[g[GRANT_MANAGER]];
    const made = element("li", {});
    if (actions !== "") made.append(element("span", { className: "for", textContent: `${actions}: ` }));
    if (role >= 0) made.append("member of role ", named(data.roles[role][NAME]), ...mark(memberBits[role]), arrow());
    made.append(...grantParts(g, grant), arrow(), ...(manager === "" ? ["managed by no object"] : ["managed by ", named(manager)]));
    if (g[UNTIL] !== "") made.append(arrow(), "ends ", named(g[UNTIL]));
    if (g[UNCLEAR_WHY] !== "") made.append(element("div", { className: "why" }, "Unclear: ", named(g[UNCLEAR_WHY])));
    return made;
  }

  function grantParts(g, grant) {
    const source = data.sources[g[SOURCE]];
    const bits = grantBits[grant] | (g[UNCLEAR_WHY] === "" ? 0 : UNCLEAR);
    return [
      ...(source === "" ? [] : [source, " "]),
      element("code", { className: "name", textContent: g[TEXT] }),
      ...(g[EFFECT] === 1 ? [" (denies)"] : []),
      ...mark(bits),
    ];
  }

  // ways tells how all the actions of a cell come about: each grant once, with its actions.
  function ways(actions, profile) {
    const byGrant = new Map();
    for (const { at } of actions) {
      for (let v = at + 3; v < at + 3 + profile[at + 2]; v++) {
        if (!byGrant.has(profile[v])) byGrant.set(profile[v], []);
        byGrant.get(profile[v]).push(data.actions[profile[at]]);
      }
    }
    // Where all ways are of all actions, the actions need not be told again.
    const told = [...byGrant.values()].every((names) => names.length === actions.length);
    return element("ul", { className: "ways" }, ...[...byGrant].map(([grant, names]) => way(grant, told ? "" : names.join(", "))));
  }

  function memberships(principal, query) {
    const pairs = data.principals[principal][MEMBERSHIPS], made = element("ul", { className: "ways" });
    for (let i = 0; i < pairs.length; i += 2) {
      if (query.roles === null || query.roles[pairs[i]]) made.append(element("li", {}, "member of role ", named(data.roles[pairs[i]][NAME]), ...mark(pairs[i + 1])));
    }
    return made;
  }

  function membershipBits(principal) {
    const pairs = data.principals[principal][MEMBERSHIPS];
    let bits = 0;
    for (let i = 1; i < pairs.length; i += 2) bits |= pairs[i];
    return bits;
  }

  // The two views: a head, and lines that are made when they are drawn.

  function principalHeading(principal) {
    const name = data.principals[principal][NAME];
    return element("th", { scope: "row", title: name, className: "principal" }, element("div", { className: "marked-name" }, element("div", { className: "clamp" }, breakable(name)), ...mark(membershipBits(principal))));
  }

  function objectHeading(object) {
    const [kind, label] = data.objects[object];
    return element("th", { scope: "col", title: `${data.kinds[kind]} ${label}` },
      element("div", { className: "kind", textContent: data.kinds[kind] }), element("div", { className: "clamp" }, breakable(label)));
  }

  function matrix(found, rows, columns) {
    const place = new Int32Array(data.objects.length).fill(-1);
    columns.forEach((object, i) => { place[object] = i; });
    const head = element("thead", {}, element("tr", {}, element("th", { scope: "col", className: "corner", textContent: "Principal" }), ...columns.map(objectHeading)));
    const lines = rows.map(({ principal }) => () => {
      const line = element("tr", {}, principalHeading(principal)), cells = columns.map(() => document.createElement("td"));
      eachCell(principal, found.query, (object, actions, profile) => {
        if (place[object] < 0) return;
        const cell = cells[place[object]];
        let bits = 0;
        for (const action of actions) bits |= action.bits;
        cell.className = bits & (DRIFT | UNMANAGED) ? "held marked" : "held";
        cell.append(...actionList(actions, profile));
      });
      line.append(...cells);
      return line;
    });
    return { head, lines };
  }

  // list is the entries from one number up to another; a principal with nothing to show is one entry.
  function list(found, from, to) {
    const titles = ["Principal", "Object", "Actions", "How", "State"];
    const head = element("thead", {}, element("tr", {}, ...titles.map((title) => element("th", { scope: "col", textContent: title }))));
    const lines = [];
    let at = 0;
    for (const { principal, count } of found.rows) {
      const entries = Math.max(1, count);
      if (at + entries > from && at < to) {
        lines.push(...listed(principal, found.query).slice(Math.max(0, from - at), to - at));
      }
      at += entries;
      if (at >= to) break;
    }
    return { head, lines };
  }

  // listed are the entries of a principal, each to be made only if it is drawn.
  function listed(principal, query) {
    const entries = [];
    eachCell(principal, query, (object, actions, profile) => entries.push(() => {
      enter(principal);
      let bits = 0;
      for (const action of actions) bits |= action.bits;
      const [kind, label] = data.objects[object];
      return entry(principal, object,
        element("td", { className: "object" }, element("span", { className: "kind", textContent: data.kinds[kind] }), " ", named(label)),
        element("td", {}, ...actionList(actions, profile)), element("td", {}, ways(actions, profile)), bits);
    }));
    if (entries.length === 0) {
      entries.push(() => entry(principal, -1, element("td", { textContent: "nothing" }), element("td", {}),
        element("td", {}, memberships(principal, query)), membershipBits(principal)));
    }
    return entries;
  }

  function entry(principal, object, what, actions, how, bits) {
    const line = element("tr", {}, principalHeading(principal), what, actions, how, element("td", { textContent: markWords(bits) || "declared" }));
    if (object >= 0) line.dataset.object = object;
    line.dataset.principal = principal;
    return line;
  }

  // Drawing.

  let found = null, firstRow = 0, firstColumn = 0, firstEntry = 0, printing = false;
  let drawnRows = [], drawnColumns = [];
  const table = byID("table"), scroll = byID("scroll");

  function draw() {
    let view = filter.view;
    if (printing && (found.columns.length > PRINTED_COLUMNS || found.rows.length * found.columns.length > PRINTED_CELLS)) view = "list";
    table.className = printing ? `${view} whole` : view;
    if (view === "matrix") {
      table.setAttribute("role", "grid");
      drawnRows = printing ? found.rows : found.rows.slice(firstRow, firstRow + ROWS);
      drawnColumns = printing ? found.columns : found.columns.slice(firstColumn, firstColumn + COLUMNS);
      fill(matrix(found, drawnRows, drawnColumns));
    } else {
      table.removeAttribute("role");
      fill(printing ? list(found, 0, found.entries) : list(found, firstEntry, firstEntry + ENTRIES));
    }
    table.hidden = found.rows.length === 0;
    pager(view);
    rest(view);
    focusable = null;
    moveTo(table.rows[1]?.cells[view === "matrix" ? 1 : 0] ?? table.rows[0].cells[0], false);
  }

  // fill draws the lines that the screen shows, and then a few at a time, so that whoever types is not kept waiting for the others. The table
  // is busy until all are there. What is printed must be there at once.
  let filling = 0;
  function fill({ head, lines }) {
    clearTimeout(filling);
    const body = document.createElement("tbody");
    table.replaceChildren(head, body);
    table.setAttribute("aria-busy", "true");
    const more = () => {
      const from = body.rows.length;
      body.append(...lines.slice(from, printing ? lines.length : from + AT_ONCE).map((line) => line()));
      if (body.rows.length < lines.length) filling = setTimeout(more);
      else table.removeAttribute("aria-busy");
    };
    more();
  }

  // rest tells what a list has no line for.
  function rest(view) {
    const lonely = view === "list" ? found.columns.filter((o) => !found.used[o]) : [];
    const shown = printing ? lonely : lonely.slice(0, ROWS);
    byID("rest").replaceChildren(...(lonely.length === 0 ? [] : ["Nobody has a permission on ", ...shown.flatMap((o, i) => [i > 0 ? ", " : "", named(data.objects[o][LABEL])]),
      shown.length < lonely.length ? `, and ${number(lonely.length - shown.length)} more.` : "."]));
  }

  function pager(view) {
    const parts = [];
    const pages = (what, first, size, total, go) => {
      if (total <= size) return;
      const last = Math.min(first + size, total);
      const button = (text, disabled, to) => element("button", { type: "button", textContent: text, disabled, onclick: () => { go(to); redraw(); } });
      parts.push(element("span", { className: "pages" }, `Only ${what} ${number(first + 1)} to ${number(last)} of ${number(total)} are drawn. `,
        button(`Previous ${what}`, first === 0, first - size), " ", button(`Next ${what}`, last === total, first + size)));
    };
    if (view === "matrix") {
      pages("principals", firstRow, ROWS, found.rows.length, (to) => { firstRow = to; });
      pages("objects", firstColumn, COLUMNS, found.columns.length, (to) => { firstColumn = to; });
    } else {
      pages("lines", firstEntry, ENTRIES, found.entries, (to) => { firstEntry = to; });
    }
    byID("pager").replaceChildren(...parts);
  }

  function redraw() {
    draw();
    scroll.scrollTo(0, 0);
  }

  // describe is the filter in words.
  function describe() {
    const parts = [];
    const add = (key, words) => { if (filter[key] !== "") parts.push(words); };
    add("principal", `principal has “${filter.principal}”`);
    add("object", `object has “${filter.object}”`);
    add("kind", `kind is ${filter.kind}`);
    add("role", `role is ${filter.role}`);
    add("action", `action is ${filter.action}`);
    add("state", `state is ${filter.state.replaceAll("-", " ")}`);
    return parts.length === 0 ? "No filter." : `Filter: ${parts.join("; ")}.`;
  }

  // apply looks and draws anew after a change of the filter.
  function apply() {
    close();
    found = look();
    firstRow = firstColumn = firstEntry = 0;
    const counts = `${number(found.rows.length)} of ${some(data.principals.length, "principal", "principals")} and ` +
      `${number(found.columns.length)} of ${some(data.objects.length, "object", "objects")}.`;
    byID("count").textContent = `Shown: ${counts}`;
    byID("sentence").textContent = `${describe()} Shown: ${counts}`;
    redraw();
  }

  // The fragment of the address holds the filter, so that a link shows the same.

  const keys = Object.keys(defaults);

  function toFragment() {
    const parameters = new URLSearchParams();
    for (const key of keys) if (filter[key] !== defaults[key]) parameters.set(key, filter[key]);
    history.replaceState(null, "", `#${parameters}`);
  }

  // fromFragment leaves out what the page does not know. A kind, role or action that nothing has is kept: it lets nothing through.
  function fromFragment() {
    const parameters = new URLSearchParams(location.hash.slice(1));
    filter = { ...defaults };
    for (const key of keys) {
      const control = byID(key), value = parameters.get(key);
      if (value === null) continue;
      if (["state", "view", "sort"].includes(key) && ![...control.options].some((option) => option.value === value)) continue;
      filter[key] = value;
    }
    toControls();
    apply();
  }

  function toControls() {
    for (const key of keys) {
      const control = byID(key);
      if (control.tagName === "SELECT" && ![...control.options].some((option) => option.value === filter[key])) {
        control.add(new Option(filter[key], filter[key]));
      }
      control.value = filter[key];
    }
  }

  function fromControls() {
    for (const key of keys) filter[key] = byID(key).value;
    toFragment();
    apply();
  }

  function reset() {
    filter = { ...defaults };
    toControls();
    toFragment();
    apply();
  }

  function offer(id, names) {
    byID(id).append(...[...new Set(names)].filter((name) => name !== "").sort().map((name) => new Option(name, name)));
  }

  // Cells: one can be reached with Tab, and from it the others with arrows.

  let focusable = null;

  function moveTo(cell, focus) {
    if (!cell) return;
    focusable?.removeAttribute("tabindex");
    focusable = cell;
    cell.tabIndex = 0;
    if (focus) cell.focus();
  }

  function move(event) {
    const cell = event.target.closest("td, th");
    if (!cell || event.altKey || event.metaKey) return;
    const line = cell.parentElement.rowIndex, column = cell.cellIndex, last = table.rows[line].cells.length - 1;
    const places = {
      ArrowUp: [line - 1, column], ArrowDown: [line + 1, column], ArrowLeft: [line, column - 1], ArrowRight: [line, column + 1],
      Home: [event.ctrlKey ? 0 : line, 0], End: [event.ctrlKey ? table.rows.length - 1 : line, last],
      PageUp: [Math.max(0, line - 10), column], PageDown: [Math.min(table.rows.length - 1, line + 10), column],
    };
    if (event.key === "Enter") {
      open(cell);
    } else if (event.key in places) {
      moveTo(table.rows[places[event.key][0]]?.cells[places[event.key][1]], true);
    } else {
      return;
    }
    event.preventDefault();
  }

  // Details.

  const details = byID("details");
  let opener = null;

  function show(from, heading, ...body) {
    opener = from;
    byID("details-heading").replaceChildren(...heading);
    byID("details-body").replaceChildren(...body);
    details.hidden = false;
    details.scrollTo(0, 0);
    details.focus();
  }

  function close() {
    if (details.hidden) return;
    details.hidden = true;
    if (opener?.isConnected) opener.focus();
    opener = null;
  }

  // open shows what is behind a cell of the table.
  function open(cell) {
    const line = cell.parentElement;
    moveTo(cell, false);
    if (table.classList.contains("list")) {
      if (line.dataset.principal === undefined) return;
      if (cell.cellIndex === 0 || line.dataset.object === undefined) openPrincipal(cell, Number(line.dataset.principal));
      else openCell(cell, Number(line.dataset.principal), Number(line.dataset.object));
    } else if (line.rowIndex === 0) {
      if (cell.cellIndex > 0) openObject(cell, drawnColumns[cell.cellIndex - 1]);
    } else if (cell.cellIndex === 0) {
      openPrincipal(cell, drawnRows[line.rowIndex - 1].principal);
    } else {
      openCell(cell, drawnRows[line.rowIndex - 1].principal, drawnColumns[cell.cellIndex - 1]);
    }
  }

  // openCell shows everything on a cell, also what the filter holds back.
  function openCell(cell, principal, object) {
    const all = cellOf(principal, object), [kind, label] = data.objects[object];
    const heading = [named(data.principals[principal][NAME]), " on ", data.kinds[kind].toLowerCase(), " ", named(label)];
    if (all === null) {
      show(cell, heading, element("p", { textContent: "The principal has nothing on this object." }));
      return;
    }
    show(cell, heading, ...all.actions.flatMap((action) => {
      const verdict = all.profile[action.at + 1];
      return [
        element("h3", {}, actionElement(data.actions[all.profile[action.at]], action.bits),
          element("span", { className: "verdict", textContent: verdict === ALLOWED ? " allowed" : verdict === DENIED ? " denied" : " unclear" })),
        ways([action], all.profile),
      ];
    }));
  }

  function openPrincipal(cell, principal) {
    const list = memberships(principal, everything);
    show(cell, [named(data.principals[principal][NAME])],
      element("p", { textContent: `Member of ${some(list.children.length, "role", "roles")}.` }), list,
      element("p", {}, element("button", { type: "button", textContent: "Show only this principal", onclick: () => only({ principal: data.principals[principal][NAME] }) })));
  }

  function openObject(cell, object) {
    const [kind, label] = data.objects[object];
    show(cell, [data.kinds[kind], " ", named(label)],
      element("p", {}, element("button", { type: "button", textContent: "Show only this object", onclick: () => only({ object: label, kind: data.kinds[kind] }) })));
  }

  function openRole(button, role) {
    const grants = grantsOf[role], shown = grants.slice(0, ENTRIES);
    memberBits.fill(0);
    show(button, ["Role ", named(data.roles[role][NAME])],
      element("p", { textContent: `It has ${some(grants.length, "grant", "grants")}${shown.length < grants.length ? `, of which the first ${number(shown.length)} are here` : ""}.` }),
      element("ul", { className: "ways" }, ...shown.map((grant) => element("li", {}, ...grantParts(data.grants[grant], grant)))),
      element("p", {}, element("button", { type: "button", textContent: "Show only this role", onclick: () => only({ role: data.roles[role][NAME] }) })));
  }

  function only(change) {
    filter = { ...defaults, view: filter.view, sort: filter.sort, ...change };
    toControls();
    toFragment();
    apply();
    byID("controls").scrollIntoView();
  }

  // The tables below the matrix. They tell of the whole project, whatever the filter says.

  const whole = [];

  // section draws the first lines of a table, all of them when it is printed or somebody asks.
  function section(id, nothing, titles, lines) {
    const parent = byID(id), body = document.createElement("tbody");
    if (lines.length === 0) {
      parent.append(element("p", { textContent: nothing }));
      return;
    }
    const more = element("button", { type: "button", className: "more", textContent: `Show all ${number(lines.length)}`, onclick: () => all() });
    const all = () => {
      more.remove();
      body.append(...lines.slice(body.rows.length).map((line) => line()));
    };
    body.append(...lines.slice(0, ROWS).map((line) => line()));
    parent.append(element("div", { className: "wide" },
      element("table", { className: "plain" }, element("thead", {}, element("tr", {}, ...titles.map((t) => element("th", { scope: "col", textContent: t })))), body)));
    if (lines.length > ROWS) parent.append(more);
    whole.push(all);
  }

  const cells = (...texts) => element("tr", {}, ...texts.map((text) => element("td", {}, ...[text].flat())));
  const manager = (number) => data.managers[number] === "" ? "no object" : named(data.managers[number]);
  const grantsOf = data.roles.map(() => []);
  data.grants.forEach((g, i) => { if (g[GRANT_ROLE] >= 0) grantsOf[g[GRANT_ROLE]].push(i); });

  function roleLines() {
    const members = data.roles.map(() => ({ all: 0, bits: [0, 0, 0] }));
    for (const p of data.principals) {
      for (let i = 0; i < p[MEMBERSHIPS].length; i += 2) {
        const of = members[p[MEMBERSHIPS][i]];
        of.all++;
        of.bits[p[MEMBERSHIPS][i + 1]]++;
      }
    }
    return data.roles.map((r, role) => () => {
      const counted = (bit) => members[role].bits[bit] + grantsOf[role].filter((g) => grantBits[g] === bit).length;
      const marked = (bit) => counted(bit) === 0 ? "0" : [number(counted(bit)), " ", ...mark(bit)];
      const name = element("button", { type: "button", className: "link", onclick: (event) => openRole(event.currentTarget, role) }, named(r[NAME]));
      return cells([name], r[TYPE], [manager(r[MANAGER])], r[POLICY], r[UNKNOWN] ? ["not known ", ...mark(UNCLEAR)] : number(members[role].all),
        number(grantsOf[role].length), marked(DRIFT), marked(UNMANAGED));
    });
  }

  // unreachedLines are of grants that are in no row of the matrix, and would be overlooked.
  function unreachedLines() {
    const reached = new Uint8Array(data.grants.length);
    for (const p of new Set(data.principals.map((principal) => principal[PROFILE]))) {
      const profile = profiles[p];
      for (let i = 0; i < profile.length; i += 2 + profile[i + 1]) {
        for (let a = i + 2; a < i + 2 + profile[i + 1]; a += 3 + profile[a + 2]) {
          for (let v = a + 3; v < a + 3 + profile[a + 2]; v++) reached[profile[v]] = 1;
        }
      }
    }
    const lines = [];
    data.grants.forEach((g, i) => {
      if (g[STATE] === 0 || reached[i]) return;
      lines.push(() => cells(g[GRANT_ROLE] < 0 ? "" : [named(data.roles[g[GRANT_ROLE]][NAME])], grantParts(g, i), [manager(g[GRANT_MANAGER])]));
    });
    return lines;
  }

  function sections() {
    section("missing", "Nothing: all that objects declare is there.", ["Role", "What", "Managed by"],
      data.missing.map(([role, what, by]) => () => cells([named(role)], [named(what)], [manager(by)])));
    section("unreached", "None.", ["Role", "Grant", "Managed by"], unreachedLines());
    section("roles", "There are no roles.", ["Role", "Type", "Managed by", "Policy", "Members", "Grants", "Drift", "Unmanaged"], roleLines());
  }

  // Printing: what is printed is all that the filter lets through.

  function print(on) {
    if (printing === on) return;
    printing = on;
    if (on) for (const all of whole) all();
    draw();
  }

  offer("kind", data.kinds);
  offer("role", data.roles.map((r) => r[NAME]));
  offer("action", data.actions);
  byID("controls").addEventListener("input", fromControls);
  byID("controls").addEventListener("submit", (event) => event.preventDefault());
  byID("reset").addEventListener("click", reset);
  byID("print").addEventListener("click", () => window.print());
  byID("close").addEventListener("click", close);
  table.addEventListener("keydown", move);
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td, th");
    // Whoever marks text to copy it does not ask for details.
    if (cell && String(getSelection()) === "") open(cell);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  window.addEventListener("hashchange", fromFragment);
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  matchMedia("print").addEventListener("change", (event) => print(event.matches));
  sections();
  byID("main").hidden = false;
  fromFragment();
}
