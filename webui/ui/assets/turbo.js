/* The Turbo tab: every letter, slider and stroke sends the whole state of the controls, at most once for each picture of the
   screen and only the newest; what comes back is drawn at once. Nothing is sent while nobody sees the tab. */
(() => {
  const { one, all, part, element, shelf } = LW;
  const SEED_KEY = 'lw-turbo-seed', MODEL_KEY = 'lw-turbo-model', SIZE_MS = 500, SMALLEST = 64;
  const STATES = { live: 'Live', waiting: 'Waiting for a job', loading: 'Loading', warming: 'Warming up', connecting: 'Connecting', off: 'Not connected' };
  const CONTROLS = { prompt: 'prompt', negative_prompt: 'neg_prompt', seed: 'seed', width: 'width', height: 'height', strength: 'strength', smooth: 'smooth', checkpoint: 'checkpoint' };

  let root = null, pipe, view, input, kept, seen;
  let isSeen = false, isWarm = false, isDue = false, handle = 0, sizing;
  let count = 0, lastSent = '', awaited = 0, isFresh = false, connection = 0; /* awaited: the input that answers the picture on its way */
  let shown = null, checkpoint, model = {}, state = 'connecting', words = '';
  const said = { text: '', input: 0 };
  const asked = new Map(); /* input -> the state that was sent, for what is refined */
  let session = shelf('sessionStorage', SEED_KEY);
  try { model = JSON.parse(shelf('localStorage', MODEL_KEY)) ?? {}; } catch { /* damaged: the server tells it again */ }

  const block = name => document.getElementById(`turbo_${name}`); /* by its id, for all of them are read at each letter */
  const field = name => block(name)?.querySelector('textarea, input:not([type=range], [type=radio])');
  const text = name => field(name)?.value ?? '';
  const picked = (name, fallback) => block(name)?.querySelector('input:checked')?.value ?? fallback;
  const number = name => { const value = parseFloat(block(name)?.querySelector('input[type=number]')?.value); return Number.isNaN(value) ? null : value; };
  const side = name => { const typed = text(name).trim(); return !typed ? model[name] : /^\d{1,9}$/.test(typed) ? +typed : typed; };
  function roll() {
    session = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    shelf('sessionStorage', SEED_KEY, session);
    lastSent = '';
    ask();
    return '-1';
  }
  function seed() {
    const typed = text('seed').trim();
    if (/^\d{1,19}$/.test(typed)) return typed;
    if (typed !== '' && typed !== '-1') return null;
    if (!session) roll();
    return session;
  }
  function read() {
    return {
      checkpoint: checkpoint ?? '', prompt: text('prompt'), negative_prompt: model.is_turbo === false ? text('neg_prompt') : '',
      steps: +picked('steps', 1), width: side('width'), height: side('height'), strength: number('strength'), smooth: number('smooth'), picture: input.hasPicture,
    };
  }
  /* digits of a seed go as they are: a browser's numbers lose those above 2^53 */
  const written = (wish, seed) => `${JSON.stringify(wish).slice(0, -1)},"seed":${seed}}`;

  /* ---- asking ---- */
  function ask() { isDue = true; handle ||= requestAnimationFrame(go); }
  function askPicture() { isFresh = true; if (!awaited) ask(); else drawEmpty(); }
  function go() {
    handle = 0;
    if (!root || !isDue) return;
    drawSource();
    drawEmpty();
    const wish = read();
    if (awaited === Infinity || !isSeen || !isWarm || !pipe.isOpen() || !(wish.prompt.trim() || wish.picture)) return; /* asked again when that changes; with a picture that is being encoded goes the newest state */
    isDue = false;
    const digits = seed();
    if (digits === null) return say(`Seed ${text('seed').slice(0, 40)} is not right. Write digits, or -1 for one that stays.`, 'seed');
    if (wish.picture && isFresh && !awaited) sendPicture(wish);
    else send(wish, digits);
  }
  function send(wish, digits) {
    const same = written(wish, digits);
    if (same === lastSent) return;
    lastSent = same;
    count++;
    asked.set(count, { ...wish, seed: digits });
    if (asked.size > 200) asked.delete(asked.keys().next().value);
    view.sent(count);
    pipe.tell(written({ input: count, ...wish }, digits));
  }
  /* one picture is on its way at a time: the next is taken when this one was answered, so it is the newest then */
  async function sendPicture(wish) {
    const mine = connection;
    isFresh = false;
    awaited = Infinity;
    const jpeg = await input.encode(wish.width, wish.height);
    if (mine !== connection) return;
    const now = read(), digits = seed();
    if (!jpeg || !now.picture || digits === null) { awaited = 0; return ask(); }
    pipe.send(jpeg);
    lastSent = '';
    send(now, digits);
    awaited = count;
  }
  function answered(number) {
    if (!awaited || number < awaited) return;
    awaited = 0;
    if (isFresh) ask();
  }

  /* ---- what the server tells ---- */
  function told(what) {
    if (what.state) tell(what.state, what.words);
    if (what.model) take(what.model);
    if (what.kept) { LW.note('Kept'); kept.draw(); }
    if (!what.error) return;
    const isOld = what.input != null && what.input < count; /* what was asked since may be right */
    if (!isWarm) { isWarm = true; tell('live'); ask(); }
    if (!isOld) say(what.error, what.field, what.input ?? undefined);
    if (what.input != null) answered(what.input);
  }
  function take(next) {
    const isOther = next.checkpoint !== model.checkpoint || next.width !== model.width || next.height !== model.height;
    model = next;
    shelf('localStorage', MODEL_KEY, JSON.stringify(model));
    if (!isWarm || state === 'warming') tell('live');
    if (!isWarm || isOther) ask();
    isWarm = true;
    drawModel();
  }
  function warm() {
    isWarm = false;
    if (!pipe.isOpen()) return;
    tell(LW.running() ? 'waiting' : 'warming');
    const sides = Object.fromEntries(['width', 'height'].map(name => [name, text(name).trim()]).filter(([, typed]) => /^\d{1,9}$/.test(typed) && +typed >= SMALLEST).map(([name, typed]) => [name, +typed]));
    pipe.tell({ warm: { checkpoint: checkpoint ?? '', ...sides } });
  }
  function opened() { lastSent = ''; isFresh = true; isDue = true; warm(); }
  function closed(isLost, reason) {
    connection++;
    awaited = 0;
    isWarm = false;
    shown = null; /* its number means another picture in the next stream */
    view.forget();
    tell(isLost ? 'off' : 'connecting');
    if (reason) say(reason);
    drawTools();
  }
  function drawn(what) {
    shown = what;
    pipe.tell({ shown: what.frame });
    if (what.input >= said.input) say('');
    root.dataset.state = 'drawn';
    const { prompt } = asked.get(what.input) ?? {}, canvas = one('#turbo_image', root), label = `Live picture${prompt ? `: ${prompt}` : ''}`;
    if (canvas.getAttribute('aria-label') !== label) canvas.setAttribute('aria-label', label);
    drawTools();
    drawEmpty();
    answered(what.input);
  }

  /* ---- what is shown ---- */
  function tell(next, more = '') {
    state = next in STATES ? next : 'connecting';
    words = state === 'loading' && more ? more.replace(/\.$/, '') : STATES[state];
    const place = root && part(root, 'state');
    if (!place) return;
    place.dataset.state = state;
    if (place.textContent !== words) place.textContent = words;
    place.title = state === 'off' ? 'Trying again' : more;
  }
  /* it stands until a picture of that input, or of a later one, is there */
  function say(text, name = '', input = count + 1) {
    if (text === said.text && !name) return;
    Object.assign(said, { text, input });
    if (!root) return;
    const place = one('#turbo_message', root);
    part(place, 'words').textContent = text;
    place.hidden = !text;
    for (const [known, id] of Object.entries(CONTROLS)) {
      const box = field(id);
      if (known === name) box?.setAttribute('aria-invalid', 'true');
      else box?.removeAttribute('aria-invalid');
    }
  }
  function drawTools() { for (const id of ['keep', 'refine']) one(`#turbo_${id}`, root).disabled = !shown; }
  const hide = (place, isHidden) => { if (place.hidden !== isHidden) place.hidden = isHidden; }; /* to set it again costs a layout */
  function drawEmpty() {
    if (!root) return;
    const wish = read(), isEmpty = !wish.prompt.trim() && !wish.picture, hasInput = input.kind !== 'none';
    hide(part(root, 'empty'), !isEmpty || hasInput);
    hide(part(root, 'out'), isEmpty && !hasInput);
    if (isEmpty && root.dataset.state === 'drawn') { root.dataset.state = 'empty'; view.clear(); view.forget(); shown = null; drawTools(); }
    if (root.dataset.state !== 'drawn') view.fit(...['width', 'height'].map(name => +side(name) > 0 ? +side(name) : 512));
    if (+side('width') >= SMALLEST && +side('height') >= SMALLEST) input.fit(+side('width'), +side('height'));
  }
  function drawSource() {
    const kind = picked('source', 'none');
    root.dataset.source = one('#turbo_studio').dataset.source = kind;
    input.choose(kind, hasTouched);
  }
  function drawModel() {
    if (!root) return;
    one('#turbo_studio').dataset.turbo = model.is_turbo !== false;
    for (const name of ['width', 'height']) { const box = field(name); if (box) box.placeholder = model[name] ?? ''; }
    const place = one('#turbo_model'), facts = !model.checkpoint ? '' : model.note || `${model.checkpoint} · ${model.label}${model.repaints ? '' : ' · repaints no picture'}`;
    if (place && place.textContent !== facts) place.textContent = facts;
    place?.classList.toggle('is-note', Boolean(model.note));
    one('#turbo_refine', root).title = model.base ? `Take it to txt2img, with ${model.base}` : 'Take it to txt2img';
    drawExamples();
    drawEmpty();
  }
  function drawExamples() {
    if (!model.checkpoint && !isWarm) return; /* what it draws well is not known yet */
    const { live = {} } = LW.facts(), prompts = live[model.checkpoint] ?? live[''] ?? [], list = one('.live-examples', root);
    if (list.dataset.key === JSON.stringify(prompts)) return;
    list.dataset.key = JSON.stringify(prompts);
    list.replaceChildren(...prompts.map(prompt => {
      const card = element('button', { type: 'button', className: 'example', textContent: prompt });
      card.dataset.do = 'live-example';
      return element('li', {}, card);
    }));
  }
  LW.views.push(event => {
    if (!root?.isConnected) return;
    kept.draw();
    kept.failed(event);
    if (!isWarm && (state === 'warming' || state === 'waiting')) tell(LW.running() ? 'waiting' : 'warming');
  });

  /* ---- what one does ---- */
  let hasTouched = false; /* a camera is started by a press only, not by a page that opens */
  document.addEventListener('input', event => {
    if (!root || !event.target.closest?.('#turbo_panel')) return;
    if (event.isTrusted && event.target.closest('#turbo_source')) hasTouched = true;
    clearTimeout(sizing);
    /* half a number is no size: 1, 12, 128 */
    if (event.target.closest('#turbo_width, #turbo_height') && event.target.value && !(+event.target.value >= SMALLEST)) sizing = setTimeout(ask, SIZE_MS);
    else ask();
  });
  document.addEventListener('paste', event => {
    const file = [...event.clipboardData?.files ?? []].find(each => each.type.startsWith('image/'));
    if (!file || !isSeen || LW.tabName() !== 'turbo') return;
    event.preventDefault();
    event.stopImmediatePropagation();
    input.open(file);
  }, true);
  document.addEventListener('keydown', event => {
    if ((event.ctrlKey || event.metaKey) && event.key === 'Enter' && LW.tabName() === 'turbo') { keep(); event.preventDefault(); }
  });
  function keep() { if (shown && !one('#turbo_keep').disabled) pipe.tell({ keep: shown.frame }); }
  Object.assign(LW.actions, {
    keep,
    refine() {
      if (!shown) return;
      const wish = asked.get(shown.input) ?? read(), base = model.is_turbo ? model.base : model.checkpoint;
      if (!base) return say(`No checkpoint is here that ${model.label} was made from. Put one into models/Stable-diffusion.`);
      const values = { prompt: wish.prompt, negative_prompt: text('neg_prompt'), seed: String(shown.seed), width: shown.width, height: shown.height };
      LW.setBox('turbo_refine_box', JSON.stringify({ base, values, n: `${Date.now()} ${Math.random()}` }));
    },
    'live-example': b => LW.setBox('turbo_prompt', b.textContent),
    ink: b => input.brush.choose(b.dataset.value),
    unpaint: () => input.brush.undo(),
    blank: () => input.clear(),
    open: () => input.pick(),
    brush: () => source('paint'),
    camera: () => input.camera(),
  });
  function source(kind) { one(`#turbo_source input[value="${kind}"]`)?.click(); }
  async function refined(answer) {
    if (answer?.message) return say(answer.message);
    if (!answer?.base) return;
    LW.openTab('txt2img');
    if (one('#checkpoint input')?.value !== answer.base) await LW.use(answer.base);
    await LW.take.set('txt2img', answer.values);
    LW.note('Its prompt, seed and size are here');
  }

  /* ---- life ---- */
  function see(isIt) {
    if (isIt === isSeen) return;
    isSeen = isIt;
    if (!isSeen) { pipe.rest(); input.rest(); return; }
    pipe.open();
    if (pipe.isOpen() && !isWarm) warm();
    input.wake();
    view.wake();
    ask();
  }
  const look = () => see(Boolean(root?.isConnected && root.offsetParent && !document.hidden));
  document.addEventListener('visibilitychange', look);
  function mount(place) {
    const next = one('.live', place) ?? place;
    if (next === root) return;
    root = next;
    seen?.disconnect();
    isSeen = false;
    checkpoint ??= text('checkpoint') === 'Automatic' ? '' : text('checkpoint');
    pipe ??= LW.livePipe({ opened, closed, told, frame(what, jpeg) { if (state !== 'live') tell('live'); view.frame(what, jpeg); } });
    view = LW.liveView(root, { drawn, damaged: what => pipe.tell({ shown: what.frame }) });
    input = LW.liveInput(root, { changed: askPicture, said: say, chose: source });
    kept = LW.liveKept(root, { said: say });
    drawModel();
    drawTools();
    tell(state);
    seen = new IntersectionObserver(look);
    seen.observe(root);
    look();
  }
  LW.turbo = {
    mount, roll, refined,
    facts() { if (root) drawExamples(); },
    ask() { if (root) setTimeout(ask, 0); }, /* when Gradio has drawn what it was told */
    choose(title) { if (checkpoint === (title ?? '')) return; checkpoint = title ?? ''; lastSent = ''; if (root) warm(); },
    rechosen() { if (!root) return; drawExamples(); if (!checkpoint) { lastSent = ''; warm(); } },
    shownSeed: () => shown && String(shown.seed),
    sized: (ratio, [width, height]) => {
      const native = model.width ?? 512, step = Math.max(8, Math.floor(native / 32)), isTall = +height > +width;
      const sides = [Math.sqrt(ratio), 1 / Math.sqrt(ratio)].map(by => String(Math.max(step, Math.round(native * by / step) * step)));
      return ratio === 1 ? ['', ''] : isTall ? sides.reverse() : sides;
    },
    aspect: (aspects, width, height) => LW.nearestAspect(aspects, +width || (model.width ?? 512), +height || (model.height ?? 512)),
    counts: () => view?.counts() ?? { frames: 0, seconds: 0, latencies: [] },
    recount: () => view?.recount(),
  };
})();
