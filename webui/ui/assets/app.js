/* The page's own behaviour: theme, keys, what outlives a reload, prompt fields, buttons inside our HTML.
   One listener on the document serves all tabs, because Gradio builds a tab only when it is visited.
   Nothing here writes HTML from text: words come in through textContent alone. */
const LW = (() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const part = (root, name) => one(`[data-part="${name}"]`, root);
  const tabName = () => one('#tabs [role=tab][aria-selected=true]')?.id.slice(4, -7) ?? 'txt2img';
  const openTab = name => one(`#tab_${name}-button`)?.click();
  const address = path => new URL(path, document.baseURI).href;

  /* a shelf that a browser may refuse to give */
  function shelf(kind, key, text) {
    try {
      const place = window[kind];
      return text === undefined ? place.getItem(key) : place.setItem(key, text);
    } catch { return null; } /* private mode, a full disk: the page works, it only forgets */
  }

  /* theme: chosen, or the system's; set on <html> before the first paint */
  const system = matchMedia('(prefers-color-scheme: dark)');
  function applyTheme() {
    const chosen = shelf('localStorage', 'lw-theme') ?? 'system';
    const dark = chosen === 'dark' || (chosen === 'system' && system.matches);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
    document.body?.classList.toggle('dark', dark);
  }
  function setTheme(name) { shelf('localStorage', 'lw-theme', name); applyTheme(); }
  applyTheme();
  system.addEventListener('change', applyTheme);
  /* Gradio sets its own dark class while it starts; ours is put back after it */
  addEventListener('load', () => [0, 400, 1500].forEach(wait => setTimeout(applyTheme, wait)));

  /* what the controls hold outlives a reload: by browser tab, else by browser. Called by Gradio's load and change events. */
  const KEPT = 'lw-fields';
  let isRestored = false, fields = {};
  const typed = new Set(); /* fields edited before they could be restored: the user was quicker, and wins */
  function restore(names, values) {
    isRestored = true;
    const kept = JSON.parse(shelf('sessionStorage', KEPT) ?? shelf('localStorage', KEPT) ?? '{}');
    const now = values.map((value, i) => names[i] in kept && !typed.has(names[i]) ? kept[names[i]] : value);
    fields = Object.fromEntries(names.map((name, i) => [name, now[i]]));
    setTimeout(countTokens, 50);
    return now;
  }
  function remember(names, values) {
    if (!isRestored) return;
    names.forEach((name, i) => { fields[name] = values[i]; });
    const text = JSON.stringify(fields);
    shelf('sessionStorage', KEPT, text);
    shelf('localStorage', KEPT, text);
  }
  document.addEventListener('input', event => {
    const id = event.target.closest?.('.block[id]')?.id;
    if (!isRestored && id) typed.add(id);
  }, true);
  /* Gradio pulls a number typed beside a slider into the slider's range without a word; the request's check has words */
  document.addEventListener('blur', event => {
    if (event.target.matches?.('.line .head input[type=number]')) event.stopImmediatePropagation();
  }, true);
  function nearestAspect(aspects, width, height) {
    if (!(width > 0 && height > 0)) return null;
    const ratio = Math.max(width, height) / Math.min(width, height);
    const off = value => Math.abs(Math.log(value / ratio));
    const [name, value] = Object.entries(aspects).reduce((best, next) => off(next[1]) < off(best[1]) ? next : best);
    return off(value) < .05 ? name : null;
  }

  /* short notes, for things that are done; errors have their own place on the stage and stay */
  let noteTimer;
  function note(text) {
    let box = one('#lw-note');
    if (!box) {
      box = Object.assign(document.createElement('div'), { id: 'lw-note' });
      box.setAttribute('role', 'status');
      document.body.append(box);
    }
    box.textContent = text;
    box.classList.add('shown');
    clearTimeout(noteTimer);
    noteTimer = setTimeout(() => box.classList.remove('shown'), Math.max(1800, text.length * 65)); /* as long as it takes to read */
  }
  async function copy(text) {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else { /* a page over plain HTTP from another machine has no clipboard */
      const box = Object.assign(document.createElement('textarea'), { value: text, className: 'unseen' });
      document.body.append(box);
      box.select();
      document.execCommand('copy');
      box.remove();
    }
    note('Copied');
  }

  /* prompt fields */
  function write(box, text, start = text.length, end = start) {
    box.value = text;
    box.dispatchEvent(new Event('input', { bubbles: true }));
    box.focus();
    box.setSelectionRange(start, end);
  }
  const asked = new Map(); /* field id -> number of the newest question: an older answer is dropped */
  const timers = new Map();
  async function showTokens(box) {
    const field = box.closest('[id$=_prompt]');
    const counter = field && one(`#${field.id}_tokens .count`);
    if (!counter) return;
    const turn = (asked.get(field.id) ?? 0) + 1;
    asked.set(field.id, turn);
    if (box.value.length > 5000) return void (counter.textContent = ''); /* longer than an address may be */
    const answer = await fetch(address('api/v1/tokens?' + new URLSearchParams({ text: box.value }))).catch(() => null);
    if (!answer?.ok || asked.get(field.id) !== turn) return;
    const { used, room } = await answer.json();
    counter.hidden = false;
    counter.textContent = `${used} / ${room}`;
    counter.classList.toggle('over', room > 75);
  }
  /* a prompt is as high as its words, where the style cannot have it so by itself */
  const isGrown = CSS.supports('field-sizing', 'content');
  function grow(box) {
    box.style.height = '';
    const { scrollHeight, offsetHeight, clientHeight } = box;
    const most = parseFloat(getComputedStyle(box).maxHeight) || Infinity; /* while no height is set */
    if (scrollHeight > clientHeight) box.style.height = `${Math.min(scrollHeight + offsetHeight - clientHeight, most)}px`;
  }
  const countTokens = () => all('textarea[data-testid=textbox]').forEach(showTokens);
  document.addEventListener('input', event => {
    if (!isGrown && event.target.matches('.grows textarea')) grow(event.target);
    const field = event.target.matches('textarea') && event.target.closest('[id$=_prompt]');
    if (!field) return;
    clearTimeout(timers.get(field.id));
    timers.set(field.id, setTimeout(showTokens, 250, event.target));
  });
  /* Ctrl Up, Ctrl Down: the weight of the chosen words, (words:1.1); without a choice, of the word at the caret */
  function weigh(box, step) {
    const text = box.value;
    let [start, end] = [box.selectionStart, box.selectionEnd];
    const round = [...text.matchAll(/\(([^()]*):([0-9.]+)\)/g)].find(m => m.index <= start && end <= m.index + m[0].length);
    if (round) {
      const weight = Math.round((+round[2] + step) * 100) / 100;
      const words = weight === 1 ? round[1] : `(${round[1]}:${Math.max(0, weight)})`;
      const first = round.index + (weight === 1 ? 0 : 1);
      return write(box, text.slice(0, round.index) + words + text.slice(round.index + round[0].length), first, first + round[1].length);
    }
    if (start === end) {
      start -= text.slice(0, start).match(/[^\s,()[\]]*$/)[0].length;
      end += text.slice(end).match(/^[^\s,()[\]]*/)[0].length;
    }
    while (end > start && /\s/.test(text[end - 1])) end--;
    while (start < end && /\s/.test(text[start])) start++;
    if (start === end) return;
    const words = text.slice(start, end);
    write(box, `${text.slice(0, start)}(${words}:${1 + step})${text.slice(end)}`, start + 1, start + 1 + words.length);
  }

  /* buttons inside our own HTML: data-do names the action; other scripts add theirs */
  const actions = {
    goto: b => openTab(b.dataset.tab),
    theme: () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'),
    keys: showKeys,
  };
  document.addEventListener('click', event => {
    const b = event.target.closest('[data-do]');
    if (b && !b.disabled) actions[b.dataset.do]?.(b, event);
  });

  /* keys */
  const KEYS = [
    [['Ctrl', 'Enter'], 'Generate'], [['Esc'], 'Interrupt'], [['Ctrl', '↑'], 'More weight for the chosen words'],
    [['Ctrl', '↓'], 'Less weight'], [['Alt', '1'], 'First tab, and so on'], [['←', '→'], 'Next picture in the strip'], [['?'], 'This list'],
  ];
  function element(tag, more = {}, ...children) {
    const made = Object.assign(document.createElement(tag), more);
    made.append(...children);
    return made;
  }
  function showKeys() {
    let box = one('#lw-keys');
    if (!box) {
      const rows = KEYS.flatMap(([keys, what]) => [element('dt', {}, ...keys.map(key => element('kbd', { textContent: key }))), element('dd', { textContent: what })]);
      const close = element('form', { method: 'dialog' }, element('button', { textContent: 'Close' }));
      box = element('dialog', { id: 'lw-keys' }, element('h2', { textContent: 'Keyboard' }), element('dl', {}, ...rows), close);
      box.setAttribute('aria-label', 'Keyboard shortcuts');
      document.body.append(box);
      box.addEventListener('click', event => { if (event.target === box) box.close(); });
    }
    box.showModal();
  }
  document.addEventListener('keydown', event => {
    const control = event.ctrlKey || event.metaKey;
    const isTyping = event.target.matches('input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea');
    const press = id => { const b = one(id); if (b && !b.disabled) { b.click(); event.preventDefault(); event.stopPropagation(); } };
    const isMenuOpen = event.target.matches('[role=combobox][aria-expanded=true]');
    if (control && event.key === 'Enter') press(`#${tabName()}_generate`);
    else if (event.key === 'Escape' && !one('dialog[open], :popover-open') && !isMenuOpen) press(`#${tabName()}_interrupt`);
    else if (event.altKey && /^[1-9]$/.test(event.key)) { all('#tabs [role=tab]')[event.key - 1]?.click(); event.preventDefault(); }
    else if (control && /^Arrow(Up|Down)$/.test(event.key) && event.target.matches('[id$=_prompt] textarea')) {
      weigh(event.target, event.key === 'ArrowUp' ? .1 : -.1);
      event.preventDefault();
    } else if (!isTyping && event.key === '?') showKeys();
    const row = event.target.closest?.('.strip, #tabs [role=tablist]');
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (row && step && !control && !event.altKey && event.target.matches('button')) {
      const stops = all('button', row), next = stops[(stops.indexOf(event.target) + step + stops.length) % stops.length];
      next.focus();
      next.click();
      event.preventDefault();
      event.stopPropagation();
    }
  }, true);


  return { one, all, part, element, address, shelf, tabName, openTab, actions, note, copy, restore, remember, nearestAspect, countTokens };
})();
window.LW = LW;
