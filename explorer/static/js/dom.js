// Elements from data, changed where the data changed and nowhere else, so that focus, selection and open details stay.
// Everything that comes from elsewhere is text: no markup is ever parsed.

const SVG = "http://www.w3.org/2000/svg";

/** A description of an element. `key` tells siblings apart; `on…` are handlers; null, false and undefined leave an attribute out. */
export function h(tag, props, ...kids) {
  return { tag, props: props || {}, kids: flat(kids) };
}

function flat(kids) {
  const all = [];
  for (const kid of kids.flat(Infinity)) {
    if (kid === null || kid === undefined || kid === false || kid === true) continue;
    all.push(typeof kid === "object" ? kid : String(kid));
  }
  return all;
}

/** Make the children of `parent` what `kids` describes. */
export function patch(parent, kids) {
  const wanted = flat([kids]);
  const loose = [], keyed = new Map();
  for (const node of parent.childNodes) {
    if (node.gainsayKey !== undefined) keyed.set(node.gainsayKey, node);
    else loose.push(node);
  }
  const nodes = wanted.map((kid) => {
    const reused = take(kid, keyed, loose);
    return reused || create(kid, parent);
  });
  const kept = new Set(nodes);
  for (const node of [...parent.childNodes]) if (!kept.has(node)) node.remove();
  nodes.forEach((node, place) => {
    if (parent.childNodes[place] !== node) parent.insertBefore(node, parent.childNodes[place] || null);
  });
  wanted.forEach((kid, place) => update(nodes[place], kid));
}

function take(kid, keyed, loose) {
  if (typeof kid === "object" && kid.props.key !== undefined) {
    const node = keyed.get(String(kid.props.key));
    if (!node || node.localName !== kid.tag) return null;
    keyed.delete(String(kid.props.key));
    return node;
  }
  const name = typeof kid === "string" ? "#text" : kid.tag;
  const place = loose.findIndex((node) => (node.localName || node.nodeName) === name);
  return place < 0 ? null : loose.splice(0, place + 1)[place];
}

function create(kid, parent) {
  if (typeof kid === "string") return document.createTextNode(kid);
  const inSvg = kid.tag === "svg" || parent.namespaceURI === SVG;
  const node = inSvg ? document.createElementNS(SVG, kid.tag) : document.createElement(kid.tag);
  if (kid.props.key !== undefined) node.gainsayKey = String(kid.props.key);
  return node;
}

function update(node, kid) {
  if (typeof kid === "string") {
    if (node.data !== kid) node.data = kid;
    return;
  }
  const before = node.gainsayProps || {};
  for (const name of Object.keys(before)) if (!(name in kid.props)) set(node, name, null, before[name]);
  for (const [name, value] of Object.entries(kid.props)) set(node, name, value, before[name]);
  node.gainsayProps = kid.props;
  patch(node, kid.kids);
}

function set(node, name, value, before) {
  if (name === "key" || value === before) return;
  if (name.startsWith("on")) {
    const kind = name.slice(2);
    if (before) node.removeEventListener(kind, before);
    if (value) node.addEventListener(kind, value);
  } else if (name === "share") {
    node.style.setProperty("--share", String(value)); // of a bar: a style attribute would be refused by the policy
  } else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
}
