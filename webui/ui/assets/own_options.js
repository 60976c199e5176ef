/* The chosen sampler's and schedule's own options: one control for each, made from what LW.facts().own says of them. What they
   say is kept as text in a box that Gradio knows, {part: {option: value}}, so that a reload, a switch to another sampler and
   back, and a picture that is taken as input bring it again. */
(() => {
  const { one, part, element } = LW;
  const KINDS = ['sampler', 'schedule'];
  const places = new Map(); /* tab -> where its controls stand */
  const said = new Map(); /* tab and kind -> {name, text}: the part that is chosen, and the box's text */
  const drawn = new Map(); /* tab and kind -> what stands there now */

  function valuesOf(text) {
    try { return JSON.parse(text || '{}') ?? {}; } catch { return {}; }
  }
  const inBox = (tab, kind) => one(`#${tab}_${kind}_options :is(textarea, input)`)?.value ?? '';
  const chosen = (tab, kind) => one(`#${tab}_${kind} input`)?.value ?? '';
  const state = (tab, kind) => said.get(`${tab} ${kind}`) ?? { name: chosen(tab, kind), text: inBox(tab, kind) };

  /* value undefined: the option's own default again */
  function put(tab, kind, option, value) {
    const { name, text } = state(tab, kind), all = valuesOf(text), own = { ...all[name], [option.name]: value };
    const now = JSON.stringify({ ...all, [name]: own });
    said.set(`${tab} ${kind}`, { name, text: now });
    LW.setBox(`${tab}_${kind}_options`, now);
  }

  /* what a typed number says: empty is none, or the default where there must be one; half a number says nothing yet */
  function typed(option, input) {
    if (input.validity.badInput) return null;
    if (input.value === '') return { value: option.is_optional ? null : undefined };
    return { value: Number(input.value) };
  }
  function filled(range, number, option) {
    const share = (range.valueAsNumber - option.low) / (option.high - option.low);
    range.style.setProperty('--range_progress', `${100 * share}%`);
    number?.setAttribute('aria-valuetext', number.value);
  }

  /* each answers its elements, and how a value comes into them */
  const makers = {
    range(option, changed) {
      const range = element('input', { type: 'range', min: option.low, max: option.high, step: option.step });
      const number = element('input', { type: 'number', step: 'any' });
      number.setAttribute('aria-label', `${option.label}, number`);
      range.addEventListener('input', () => { number.value = range.value; filled(range, number, option); changed(range.valueAsNumber); });
      number.addEventListener('input', () => {
        const told = typed(option, number);
        if (told?.value !== undefined) { range.value = told.value; filled(range, number, option); }
        if (told) changed(told.value);
      });
      return { inputs: [range, number], set(value) { range.value = value; number.value = value; filled(range, number, option); } };
    },
    number(option, changed) {
      const number = element('input', { type: 'number', step: 'any', placeholder: option.is_optional ? 'its own' : String(option.default ?? 0) });
      number.addEventListener('input', () => { const told = typed(option, number); if (told) changed(told.value); });
      return { inputs: [number], set(value) { number.value = value ?? ''; } };
    },
    text(option, changed) {
      const input = element('input', { type: 'text', maxLength: 10000 });
      input.addEventListener('input', () => changed(input.value));
      return { inputs: [input], set(value) { input.value = value ?? ''; } };
    },
    tick(option, changed) {
      const input = element('input', { type: 'checkbox' });
      input.addEventListener('change', () => changed(input.checked));
      return { inputs: [input], set(value) { input.checked = Boolean(value); } };
    },
    menu(option, changed) {
      const empty = option.is_optional ? [element('option', { value: '', textContent: '' })] : [];
      const select = element('select', {}, ...empty, ...option.choices.map(name => element('option', { value: name, textContent: name })));
      select.addEventListener('change', () => changed(select.selectedIndex < empty.length ? null : select.value));
      return { inputs: [select], set(value) { select.value = value ?? ''; } };
    },
  };
  const isNumber = option => option.kind === 'int' || option.kind === 'float';
  function makerOf(option) {
    if (isNumber(option)) return option.low !== undefined && !option.is_optional ? 'range' : 'number';
    return { bool: 'tick', choice: 'menu' }[option.kind] ?? 'text';
  }
  function line(tab, kind, option) {
    const kindOf = makerOf(option);
    const made = makers[kindOf](option, value => put(tab, kind, option, value));
    const label = element('label', { textContent: option.label, htmlFor: `${tab}_${kind}_option_${option.name}` });
    made.inputs[0].id = label.htmlFor;
    const row = element('div', { className: `line own-option own-${kindOf}`, title: option.about ?? '' }, label, ...made.inputs);
    row.dataset.option = option.name;
    return { row, option, ...made };
  }

  /* what is empty was left out on the way */
  const fallback = option => option.default ?? (option.is_optional ? null : { bool: false, str: '' }[option.kind] ?? 0);

  function draw(tab, kind, name, text) {
    const root = places.get(tab), key = `${tab} ${kind}`;
    said.set(key, { name: name ?? '', text: text ?? '' });
    if (!root?.isConnected) return;
    const options = LW.facts().own?.[kind]?.[name] ?? [], place = part(root, kind), told = JSON.stringify([name, options]);
    let now = drawn.get(key);
    if (now?.told !== told || now.place !== place) {
      now = { told, place, lines: options.map(option => line(tab, kind, option)) };
      drawn.set(key, now);
      place.replaceChildren(...now.lines.map(each => each.row));
      place.setAttribute('aria-label', `Options of ${name}`);
      root.closest('.own-options').classList.toggle('some', KINDS.some(each => part(root, each).children.length));
    }
    const values = valuesOf(text)[name] ?? {};
    for (const { option, inputs, set } of now.lines) {
      if (inputs.includes(document.activeElement)) continue; /* the user is at it */
      set(option.name in values ? values[option.name] : fallback(option));
    }
  }
  function drawAll() {
    for (const tab of places.keys()) for (const kind of KINDS) { const { name, text } = state(tab, kind); draw(tab, kind, name, text); }
  }
  /* a tab that is opened late stands there before its menus and boxes have their values */
  function settle(tab, tries = 20) {
    for (const kind of KINDS) {
      const name = chosen(tab, kind), text = inBox(tab, kind), before = said.get(`${tab} ${kind}`);
      if (name && !before) draw(tab, kind, name, text);
      else if (before) draw(tab, kind, before.name, before.text);
    }
    if (tries && !KINDS.every(kind => said.has(`${tab} ${kind}`))) setTimeout(settle, 50, tab, tries - 1);
  }

  LW.ownOptions = {
    mount(root, tab) {
      root.replaceChildren(...KINDS.map(kind => {
        const group = element('div', { className: 'own-group' });
        group.dataset.part = kind;
        group.setAttribute('role', 'group');
        return group;
      }));
      places.set(tab, root);
      settle(tab);
    },
    draw, drawAll,
  };
})();
