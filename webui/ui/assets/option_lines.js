/* One line for each option of a part: its label, and the control that its kind has. What there is to choose from comes with
   LW.facts().own. A name, a label, a hint are a stranger's words: they come in through textContent alone. */
(() => {
  const { element } = LW;
  const MOST_LINES = 12;
  let count = 0;

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
  /* a menu of names, of which one may have gone */
  function menu(choices, changed, first = []) {
    const select = element('select', {}, ...first.map(words => element('option', { value: '', textContent: words })), ...choices.map(name => element('option', { value: name, textContent: name })));
    const read = () => changed(select.selectedIndex < first.length ? null : select.value);
    select.addEventListener('change', read);
    return { inputs: [select], set(value) {
      const name = value ?? '';
      if (name && ![...select.options].some(one => one.value === name)) select.append(element('option', { value: name, textContent: `${name} (not here)` }));
      select.value = name;
    } };
  }

  let lists = 0; /* of suggestions so far: each has an id of its own */
  /* each answers its elements, and how a value comes into them; changed(undefined) is the option's own default again */
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
      const box = element('textarea', { rows: 1, maxLength: 10000 });
      const fit = () => { box.rows = Math.min(MOST_LINES, box.value.split('\n').length); };
      box.addEventListener('input', () => { fit(); changed(box.value); });
      return { inputs: [box], set(value) { box.value = value ?? ''; fit(); } };
    },
    suggested(option, changed) {
      const list = element('datalist', { id: `suggested_${lists += 1}` }, ...option.suggestions.map(value => element('option', { value })));
      const input = element('input', { type: 'text', maxLength: 10000, autocomplete: 'off' });
      input.setAttribute('list', list.id);
      input.addEventListener('input', () => changed(input.value));
      return { inputs: [input, list], set(value) { input.value = value ?? ''; } };
    },
    tick(option, changed) {
      const input = element('input', { type: 'checkbox' });
      input.addEventListener('change', () => changed(input.checked));
      return { inputs: [input], set(value) { input.checked = Boolean(value); } };
    },
    menu: (option, changed) => menu(option.choices, changed, option.is_optional ? [''] : []),
    file: (option, changed) => menu(LW.facts().own?.files?.[option.of] ?? [], name => changed(name ?? ''), ['None']),
    part: (option, changed) => menu(LW.facts().own?.parts?.[option.of] ?? [], name => changed(name ?? ''), ['None']),
    picture(option, changed, { template, tab }) {
      const line = template.content.cloneNode(true).firstElementChild, id = `${tab}_option_picture_${count++}`;
      line.dataset.picture = id;
      line.setAttribute('aria-label', option.label);
      LW.one('.picture-label', line).textContent = option.label;
      LW.one('input', line).setAttribute('aria-label', `${option.label}: choose a file`);
      const forget = LW.one('button', line);
      forget.title = `Take away: ${option.label}`;
      forget.setAttribute('aria-label', forget.title);
      LW.pictures.mount(line, id, changed);
      return { row: line, inputs: [LW.one('input', line)], set(value) { LW.pictures.show(id, value ?? ''); }, gone() { LW.pictures.forget(id); } };
    },
  };
  const isNumber = option => option.kind === 'int' || option.kind === 'float';
  function makerOf(option) {
    if (isNumber(option)) return option.low !== undefined && !option.is_optional ? 'range' : 'number';
    if (option.suggestions?.length) return 'suggested';
    return { bool: 'tick', choice: 'menu' }[option.kind] ?? (makers[option.kind] ? option.kind : 'text');
  }
  /* what is empty was left out on the way */
  const fallback = option => option.default ?? (option.is_optional ? null : { bool: false, int: 0, float: 0 }[option.kind] ?? '');

  function line(id, option, changed, around = {}) {
    const kind = makerOf(option), made = makers[kind](option, changed, around);
    if (!made.row) {
      const label = element('label', { textContent: option.label, htmlFor: id });
      made.inputs[0].id = label.htmlFor;
      made.row = element('div', { className: `line own-option own-${kind}` }, label, ...made.inputs);
    }
    made.row.title = option.about ?? '';
    made.row.dataset.option = option.name;
    return { option, ...made };
  }

  /* one line alone: {row, inputs, set} */
  LW.optionLine = line;
  /* The lines of a part. changed(option, value) is told what the user says; set(values) brings them in. */
  LW.optionLines = (prefix, options, changed, around = {}) => {
    const lines = options.map(option => line(`${prefix}_${option.name}`, option, value => changed(option.name, value), around));
    return {
      rows: lines.map(each => each.row),
      set(values) {
        for (const { option, inputs, set } of lines) {
          if (inputs.includes(document.activeElement) && document.activeElement.type !== 'file') continue; /* the user is at it */
          set(option.name in values ? values[option.name] : fallback(option));
        }
      },
      gone() { for (const each of lines) each.gone?.(); },
    };
  };
})();
