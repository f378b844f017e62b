// <portcullis-sessions>: the sessions of the signed-in user, for a page of an application. It calls the authority by
// gRPC-Web with the user's own token. How to embed it: docs/start/sessions-component.md

// The words, one a line in the order of these keys. They are those of the console's pages.
const KEYS = `title none current check signOut signOutOthers sure sureMine sureOther sureOthers cancel active last device
on more done doneOthers gates again signIn hidden away retry`.split(/\s/);
const TEXTS = {
  en: `My sessions
You are signed in nowhere else.
This device
Please check
Sign out
Sign out all others
Sign this session out?
You leave this page at once and have to sign in again.
It is refused at once, everywhere.
Every session but this one ends at once.
Cancel
Active now
Last active
Unknown device
{0} on {1}
Next page
The session was signed out.
All other sessions were signed out.
Gates that have dropped it: {0} of {1} ({2} ms).
Sign in again to go on.
Sign in
Your organisation does not show sessions here. You can still sign out of this one.
The sign-in service is away
Try again`,
  es: `Mis sesiones
No tiene ninguna otra sesión abierta.
Este dispositivo
Por revisar
Cerrar sesión
Cerrar todas las demás
¿Cerrar esta sesión?
Saldrá de esta página enseguida y tendrá que iniciar sesión de nuevo.
Se rechaza enseguida en todas partes.
Todas las sesiones menos esta terminan enseguida.
Cancelar
Activa ahora
Última actividad
Dispositivo desconocido
{0} en {1}
Página siguiente
La sesión se ha cerrado.
Se han cerrado todas las demás sesiones.
Puertas que la han cerrado: {0} de {1} ({2} ms).
Inicie sesión de nuevo para continuar.
Iniciar sesión
Su organización no muestra las sesiones aquí. Aun así puede cerrar esta.
El servicio de sesiones no responde
Intentar de nuevo`,
  et: `Minu seansid
Mujal te sisse logitud ei ole.
See seade
Palun kontrollige
Logi välja
Logi kõik teised välja
Kas logida see seanss välja?
Lahkute sellelt lehelt kohe ja peate uuesti sisse logima.
Sellest keeldutakse kohe kõikjal.
Kõik seansid peale selle lõpevad kohe.
Loobu
Praegu aktiivne
Viimati aktiivne
Tundmatu seade
{0}, {1}
Järgmine leht
Seanss logiti välja.
Kõik teised seansid logiti välja.
Väravaid, mis on selle sulgenud: {0}/{1} ({2} ms).
Jätkamiseks logige uuesti sisse.
Logi sisse
Teie organisatsioon siin seansse ei näita. Sellest seansist saate ikkagi välja logida.
Sisselogimisteenus ei vasta
Proovi uuesti`,
  ar: `جلساتي
لا توجد لك جلسة في مكان آخر.
هذا الجهاز
يُرجى التحقق
تسجيل الخروج
إنهاء كل الجلسات الأخرى
هل تريد إنهاء هذه الجلسة؟
ستغادر هذه الصفحة فورًا وعليك تسجيل الدخول من جديد.
ستُرفض فورًا في كل مكان.
تنتهي فورًا كل الجلسات ما عدا هذه.
إلغاء
نشطة الآن
آخر نشاط
جهاز غير معروف
{0} على {1}
الصفحة التالية
أُنهيت الجلسة.
أُنهيت كل الجلسات الأخرى.
البوابات التي أغلقتها: {0} من {1} ({2} مللي ثانية).
سجّل الدخول من جديد للمتابعة.
تسجيل الدخول
مؤسستك لا تعرض الجلسات هنا. يمكنك مع ذلك إنهاء هذه الجلسة.
خدمة الدخول لا تستجيب
حاول من جديد`,
};

// A style sheet that a script makes is no inline style, so that every content security policy allows it.
const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
:host { display: block; color: var(--text); font-family: var(--portcullis-font, inherit); overflow-wrap: anywhere;
  --text: var(--portcullis-text, light-dark(#18212e, #e8edf3));
  --muted: var(--portcullis-muted, light-dark(#526071, #a8b4c3));
  --surface: var(--portcullis-surface, light-dark(#fff, #1a212b));
  --line: var(--portcullis-line, light-dark(#7c8797, #8090a4));
  --accent: var(--portcullis-accent, light-dark(#1d4f91, #8cb8f5));
  --danger: var(--portcullis-danger, light-dark(#a8241c, #ff9d93));
  --radius: var(--portcullis-radius, 8px); }
:host([hidden]) { display: none; }
p, h2, h3 { margin: 0; }
section, .body, dialog > div { display: grid; gap: 1rem; justify-items: start; }
section > div, ul { inline-size: 100%; }
ul { margin: 0; padding: 0; list-style: none; display: grid; gap: .5rem; }
li, dialog { padding: 1rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); }
li, .row { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center; }
li { justify-content: space-between; }
.muted { color: var(--muted); }
.badge { padding: 0 .5rem; border: 1px solid; border-radius: 99px; color: var(--accent); }
.badge.warn { color: var(--danger); }
.now { color: var(--accent); }
button { min-block-size: 2.5rem; padding: .25rem 1rem; border: 1px solid var(--line); border-radius: var(--radius);
  background: var(--surface); color: var(--text); font: inherit; cursor: pointer; }
button.grave { border-color: var(--danger); background: var(--danger); color: var(--surface); }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
dialog { color: var(--text); max-inline-size: min(30rem, 90vw); }
`);

// The fields that are read: number, name, kind (none: a number), and whether the field repeats.
const TEXT = "text";
const DEVICE = {
  2: ["model", TEXT], 3: ["os", TEXT], 4: ["release", TEXT], 5: ["browser", TEXT], 6: ["version", TEXT], 7: ["app", TEXT],
};
const PLACE = { 1: ["city", TEXT], 2: ["code", TEXT], 3: ["country", TEXT] };
const SESSION = {
  1: ["id", TEXT], 13: ["current"], 15: ["device", DEVICE], 16: ["place", PLACE], 17: ["last", { 1: ["seconds"] }],
  18: ["activity"], 24: ["findings", { 2: ["level"] }, true],
};
const LIST = { 1: ["sessions", SESSION, true], 2: ["next", TEXT] };
const RECEIPT = { 1: ["revision"], 2: ["validators"], 3: ["confirmed"], 4: ["lapsed"], 8: ["complete"] };
const STATUS = { 3: ["details", { 1: ["type", TEXT], 2: ["info", { 1: ["reason", TEXT] }] }, true] };

const ACTIVE_NOW = 1;
const LEVEL_MEDIUM = 2;
const WAIT_ENFORCED = 2;
const UNAUTHENTICATED = 16;

const MESSAGE_BYTES_MAX = 4 << 20;

function decode(bytes, fields) {
  const message = {};
  let at = 0;
  const take = (length) => {
    if (at + length > bytes.length) throw new RangeError("malformed message");
    at += length;
    return bytes.subarray(at - length, at);
  };
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const [byte] = take(1);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [name, kind, repeats] = fields[Math.floor(tag / 8)] ?? [];
    let value;
    if (tag % 8 === 0) value = varint();
    else value = take({ 1: 8, 2: 0, 5: 4 }[tag % 8] || varint());
    // A field that is unknown, or of a kind that a later version gave it, is left out.
    if (!name || (tag % 8 === 2) !== Boolean(kind)) continue;
    if (kind) value = kind === TEXT ? new TextDecoder().decode(value) : decode(value, kind);
    if (repeats) (message[name] ??= []).push(value);
    else message[name] = value;
  }
  return message;
}

/** A message in its frame. A field is a number or a text. */
function encode(fields) {
  const bytes = [];
  const varint = (value) => {
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    bytes.push(value);
  };
  for (const [number, value] of Object.entries(fields)) {
    const text = typeof value === "string" && new TextEncoder().encode(value);
    varint(number * 8 + (text ? 2 : 0));
    varint(text ? text.length : value);
    if (text) bytes.push(...text);
  }
  const frame = new Uint8Array([0, 0, 0, 0, 0, ...bytes]);
  new DataView(frame.buffer).setUint32(1, bytes.length);
  return frame;
}

/** The frames of an answer: flag and bytes. */
async function* frames(body) {
  const reader = body.getReader();
  let rest = new Uint8Array();
  for (;;) {
    const length = rest.length < 5 ? 0 : new DataView(rest.buffer).getUint32(1);
    if (length > MESSAGE_BYTES_MAX) throw new RangeError("message too large");
    if (rest.length >= 5 + length) {
      yield [rest[0], rest.slice(5, 5 + length)];
      rest = rest.slice(5 + length);
      continue;
    }
    const { done, value } = await reader.read();
    if (done) return;
    rest = new Uint8Array(await new Blob([rest, value]).arrayBuffer());
  }
}

/** An error with the code of gRPC and the authority's reason. */
function failure(code, details) {
  const status = details && decode(Uint8Array.from(atob(details), (c) => c.charCodeAt(0)), STATUS);
  const info = status?.details?.find(({ type }) => type?.endsWith(".ErrorInfo"))?.info;
  return { code, reason: info?.reason };
}

/** Calls the authority, and hands each message of the answer to `take`. */
async function call({ url, token, fields, reads, take, seconds, signal }) {
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/grpc-web+proto",
      "grpc-timeout": `${seconds}S`,
    },
    body: encode(fields),
    credentials: "omit",
    redirect: "error",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.any([signal, AbortSignal.timeout((seconds + 5) * 1000)]),
  });
  let trailers = answer.headers;
  for await (const [flag, bytes] of frames(answer.body)) {
    if (flag < 128) take(decode(bytes, reads));
    else {
      const lines = new TextDecoder().decode(bytes).trim().split("\r\n");
      trailers = new Headers(lines.map((line) => line.split(/:(.*)/s, 2)));
    }
  }
  const code = trailers.get("grpc-status");
  if (code !== "0") throw failure(Number(code), trailers.get("grpc-status-details-bin"));
}

/** An element. All elements are made by it, so that a text stays a text, whatever is in it. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value) element.setAttribute(name, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

const fill = (text, ...values) => text.replace(/\{(\d)\}/g, (_, index) => values[index]);
const join = (separator, ...texts) => texts.filter(Boolean).join(separator);

/** "Firefox 145 on Windows 11", or the application on its device. */
function nameOf({ device = {} }, words) {
  const program = device.app || join(" ", device.browser, device.version?.split(".")[0]);
  const system = join(" ", device.os, device.release);
  const machine = device.model && system ? `${device.model} (${system})` : device.model || system;
  return program && machine ? fill(words.on, program, machine) : program || machine || words.device;
}

function placeOf({ place = {} }, { lang }) {
  let country = place.country || place.code;
  try {
    country = new Intl.DisplayNames(lang, { type: "region" }).of(place.code);
  } catch {
    // The authority's own name stays.
  }
  return join(", ", place.city, country);
}

function lastActive({ last }, words) {
  const time = new Date(last.seconds * 1000);
  const minutes = Math.max(0, Date.now() - time) / 60_000;
  const [unit, size] = [["day", 1440], ["hour", 60], ["minute", 1]].find(([, size]) => minutes >= size || size === 1);
  const ago = new Intl.RelativeTimeFormat(words.lang, { numeric: "auto" }).format(-Math.floor(minutes / size), unit);
  return make("span", {}, `${words.last}: `, make("time", { datetime: time.toISOString() }, ago));
}

class PortcullisSessions extends HTMLElement {
  static observedAttributes = ["authority", "sign-in", "lang"];

  #token;
  #sessions = [];
  #revision;
  #words;
  #life = new AbortController();
  #status = make("div", { role: "status", tabindex: "-1", part: "status" });
  #body = make("div", { class: "body" });

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [STYLE];
  }

  /** The user's access token, or a function that returns it. With `{ fresh: true }` it has to return another one. */
  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token;
    this.refresh();
  }

  connectedCallback() {
    // The page may have set the token before this file was there.
    const { token } = this;
    delete this.token;
    this.token = token;
  }

  disconnectedCallback() {
    this.#life.abort();
  }

  attributeChangedCallback() {
    this.refresh();
  }

  /** Reads the sessions anew. */
  refresh() {
    this.#life.abort();
    if (!this.isConnected || !this.#token || !this.getAttribute("authority")) return;
    this.#life = new AbortController();
    const asked = this.closest("[lang]")?.lang.slice(0, 2).toLowerCase();
    const lang = asked in TEXTS ? asked : "en";
    const texts = TEXTS[lang].split("\n");
    this.#words = Object.fromEntries(KEYS.map((key, index) => [key, texts[index]]));
    this.#words.lang = lang;
    const dir = lang === "ar" ? "rtl" : "ltr";
    const attributes = { lang, dir, "aria-labelledby": "title", part: "panel" };
    const title = make("h2", { id: "title", part: "title" }, this.#words.title);
    // A status is heard only in an element that was there before.
    this.shadowRoot.replaceChildren(make("section", attributes, title, make("slot"), this.#status, this.#body));
    return this.#load();
  }

  #load(page) {
    const take = ({ sessions = [], next }) => {
      const before = page ? this.#sessions : [];
      this.#show([...before, ...sessions], next);
      // The button that was pressed is gone.
      if (page) this.#body.querySelectorAll("li button")[before.length]?.focus();
    };
    return this.#call("SessionService/ListSessions", { 4: 50, 5: page ?? "" }, LIST, take);
  }

  /** Makes a call, with a fresh token if the first one is refused. Says what is wrong if it fails. */
  async #call(rpc, fields, reads, take, seconds = 15, isQuiet) {
    const { signal } = this.#life;
    const url = `${this.getAttribute("authority").replace(/\/+$/, "")}/portcullis.v1.${rpc}`;
    const isFunction = typeof this.#token === "function";
    for (const fresh of [false, true]) {
      try {
        const token = isFunction ? await this.#token({ fresh }) : this.#token;
        return await call({ url, token, fields, reads, take, seconds, signal });
      } catch (error) {
        if (signal.aborted || isQuiet) return;
        if (fresh || !isFunction || error.code !== UNAUTHENTICATED) return this.#fail(error);
      }
    }
  }

  #button(text, click, attributes) {
    return make("button", { part: "button", click, ...attributes }, text);
  }

  #show(sessions, next) {
    this.#sessions = sessions;
    const words = this.#words;
    const others = sessions.filter(({ current }) => !current);
    this.#body.replaceChildren(
      this.#list(sessions, true),
      next ? this.#button(words.more, () => this.#load(next)) : "",
      others.length
        ? this.#button(words.signOutOthers, () => this.#confirm(others))
        : make("p", { class: "muted" }, words.none),
    );
  }

  #list(sessions, withButtons) {
    return make("ul", { role: "list" }, ...sessions.map((session) => this.#item(session, withButtons)));
  }

  #item(session, withButton) {
    const words = this.#words;
    const name = nameOf(session, words);
    const isSuspicious = session.findings?.some(({ level }) => level >= LEVEL_MEDIUM);
    const isActive = session.activity === ACTIVE_NOW;
    const place = placeOf(session, words);
    const title = [
      make("strong", {}, make("bdi", {}, name)),
      session.current && make("span", { class: "badge" }, words.current),
      isSuspicious && make("span", { class: "badge warn" }, words.check),
    ];
    const facts = [
      place && make("bdi", {}, place),
      isActive ? make("span", { class: "now" }, words.active) : session.last && lastActive(session, words),
    ];
    const label = { "aria-label": `${words.signOut}: ${name}` };
    const texts = make("div", {}, make("p", { class: "row" }, ...title), make("p", { class: "row muted" }, ...facts));
    const button = withButton && this.#button(words.signOut, () => this.#confirm([session], session), label);
    return make("li", { part: "session" }, texts, button);
  }

  /** Asks before anything ends: one session, or all others. */
  #confirm(sessions, session) {
    const words = this.#words;
    const end = () => (dialog.close(), this.#end(session));
    const content = [
      make("h3", { id: "sure" }, session ? words.sure : words.signOutOthers),
      this.#list(sessions),
      make("p", {}, !session ? words.sureOthers : session.current ? words.sureMine : words.sureOther),
      this.#button(session ? words.signOut : words.signOutOthers, end, { class: "grave" }),
      this.#button(words.cancel, () => dialog.close(), { autofocus: "autofocus" }),
    ];
    const attributes = { "aria-labelledby": "sure", part: "dialog", close: () => dialog.remove() };
    const dialog = make("dialog", attributes, make("div", {}, ...content));
    this.shadowRoot.firstElementChild.append(dialog);
    dialog.showModal();
  }

  async #end(session) {
    const begun = performance.now();
    const words = this.#words;
    const done = ({ receipt = {} }) => {
      this.#revision = receipt.revision;
      this.#status.replaceChildren(make("strong", {}, session ? words.done : words.doneOthers), make("p"));
      this.#status.focus();
      this.#tell(receipt, begun);
      if (!session?.current) return this.#load();
      this.#body.replaceChildren(this.#signIn());
      this.#emit("portcullis-signed-out");
    };
    const [rpc, fields, field] = session
      ? ["RevokeSession", { 2: session.id, 5: WAIT_ENFORCED }, 2]
      : ["RevokeOtherSessions", { 6: WAIT_ENFORCED }, 1];
    await this.#call(`SessionService/${rpc}`, fields, { [field]: ["receipt", RECEIPT] }, done, 3);
  }

  /** Shows how many gates have dropped it, and follows the rest. */
  #tell({ revision, validators, confirmed = 0, lapsed = 0, complete }, begun, isFollowed) {
    if (!validators || revision !== this.#revision) return;
    const milliseconds = Math.round(performance.now() - begun);
    this.#status.lastChild.textContent = fill(this.#words.gates, confirmed + lapsed, validators, milliseconds);
    if (complete || isFollowed) return;
    const take = ({ receipt }) => this.#tell(receipt, begun, true);
    this.#call("RevocationService/WatchEnforcement", { 1: revision }, { 1: ["receipt", RECEIPT] }, take, 60, true);
  }

  #emit(name) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true }));
  }

  #signIn() {
    const url = URL.parse(this.getAttribute("sign-in"), document.baseURI);
    const isWeb = this.hasAttribute("sign-in") && /^https?:$/.test(url?.protocol);
    return isWeb ? make("a", { href: url.href }, this.#words.signIn) : "";
  }

  /** Says what is wrong and what to do. */
  #fail({ code, reason }) {
    const words = this.#words;
    const say = (text, step) => this.#status.replaceChildren(make("strong", {}, text), " ", step);
    // The list is not true any more.
    if (code === UNAUTHENTICATED) this.#body.replaceChildren();
    if (code === UNAUTHENTICATED || reason === "REAUTHENTICATION_REQUIRED") {
      say(words.again, this.#signIn());
      this.#emit("portcullis-sign-in");
    } else if (reason === "POLICY_FORBIDS") {
      const mine = { id: "", current: 1 };
      say(words.hidden, this.#button(words.signOut, () => this.#confirm([mine], mine)));
    } else {
      const again = () => (this.#status.replaceChildren(), this.refresh());
      say(words.away, this.#button(words.retry, again));
    }
    this.#status.focus();
  }
}

customElements.define("portcullis-sessions", PortcullisSessions);
