/* The group "Extensions" of a tab: conditioners on request and guiders, several and in order, and one script. */
(() => {
  const { part, all, element, ownBox } = LW;
  const SEVERAL = { conditioners: ['Conditioners', 'Add a conditioner'], guiders: ['Guiders', 'Add a guider'] };
  const MOST = 8;
  const tabs = new Map(); /* tab -> {root, template, told, kinds: {kind: {rows: [...]}}} */
  let count = 0;

  const offered = kind => LW.facts().own?.[kind] ?? {};
  const listOf = (own, kind) => Array.isArray(own[kind]) ? own[kind].filter(one => one && typeof one.name === 'string') : [];
  const scriptOf = own => typeof own.script === 'string' ? own.script : '';
  /* a script that runs unasked, and has no options, need not be chosen */
  const scripts = chosen => Object.keys(offered('script')).filter(name => name === chosen || !LW.facts().own?.unasked?.includes(name));
  const isKnown = (kind, name) => Object.hasOwn(offered(kind), name);

  function change(tab, kind, edit) { ownBox.change(tab, own => ({ ...own, [kind]: edit(listOf(own, kind)) })); draw(tab); }
  const without = (options, value) => Object.fromEntries(Object.entries({ ...options, ...value }).filter(([, each]) => each !== undefined));

  function label(words, control) {
    const made = element('label', { textContent: words, htmlFor: control.id });
    return element('div', { className: 'line own-option own-menu' }, made, control);
  }
  /* one of several: a card with its options below its name */
  function card(tab, kind, number, { name }) {
    const { templates } = tabs.get(tab), row = templates.row.content.cloneNode(true).firstElementChild;
    const prefix = `${tab}_${kind}_${count++}`;
    Object.assign(row.dataset, { tab, kind, number, name });
    part(row, 'name').textContent = name;
    part(row, 'name').id = `${prefix}_name`;
    part(row, 'switch').setAttribute('aria-labelledby', `${prefix}_name`);
    const options = offered(kind)[name] ?? [], note = part(row, 'note');
    note.hidden = isKnown(kind, name);
    note.textContent = note.hidden ? '' : 'Not here: the extension that offers it is off or gone. Remove it to draw.';
    const changed = (option, value) => ownBox.change(tab, own => ({ ...own, [kind]: listOf(own, kind).map((one, i) => i === number ? { ...one, options: without(one.options, { [option]: value }) } : one) }));
    const lines = LW.optionLines(prefix, options, changed, { template: templates.picture, tab });
    part(row, 'options').append(...lines.rows);
    part(row, 'options').setAttribute('aria-label', `Options of ${name}`);
    return { row, lines };
  }
  function menuOf(tab, kind, first, changed, names = Object.keys(offered(kind))) {
    const select = element('select', { id: `${tab}_${kind}_add` }, element('option', { value: '', textContent: first }), ...names.map(name => element('option', { value: name, textContent: name })));
    select.addEventListener('change', () => changed(select));
    return select;
  }

  /* which elements there are; what they show is filled in below */
  function build(tab, own) {
    const view = tabs.get(tab), { root } = view, parts = [];
    view.cards?.forEach(each => each.lines.gone());
    view.cards = [];
    for (const [kind, [words, first]] of Object.entries(SEVERAL)) {
      const chosen = listOf(own, kind);
      if (!Object.keys(offered(kind)).length && !chosen.length) continue;
      const add = menuOf(tab, kind, first, select => {
        const name = select.value;
        select.value = '';
        if (name) change(tab, kind, list => [...list, { name, options: {} }]);
      });
      add.disabled = chosen.length >= MOST;
      const cards = chosen.map((one, number) => card(tab, kind, number, one));
      view.cards.push(...cards.map((each, number) => ({ ...each, kind, number })));
      const list = element('ol', { className: 'chosen-list' }, ...cards.map(each => each.row));
      list.setAttribute('aria-label', words);
      parts.push(label(words, add), ...(cards.length ? [list] : []));
    }
    const script = scriptOf(own);
    if (scripts(script).length || script) {
      view.script = menuOf(tab, 'script', 'None', select => { ownBox.change(tab, before => ({ ...before, script: select.value })); draw(tab); }, scripts(script));
      if (script && !isKnown('script', script)) view.script.append(element('option', { value: script, textContent: `${script} (not here)` }));
      const changed = (option, value) => ownBox.change(tab, before => ({ ...before, scripts: { ...before.scripts, [script]: without(before.scripts?.[script], { [option]: value }) } }));
      view.lines = LW.optionLines(`${tab}_script_option`, offered('script')[script] ?? [], changed, { template: view.templates.picture, tab });
      const options = element('div', { className: 'own-group' }, ...view.lines.rows);
      options.setAttribute('role', 'group');
      options.setAttribute('aria-label', `Options of ${script}`);
      parts.push(label('Script', view.script), ...(view.lines.rows.length ? [options] : []));
    } else view.script = view.lines = null;
    part(root, 'kinds').replaceChildren(...parts);
    part(root, 'kinds').closest('details').hidden = !parts.length;
  }

  function draw(tab) {
    const view = tabs.get(tab);
    if (!view?.root.isConnected) return;
    const { own } = ownBox.state(tab), kinds = [...Object.keys(SEVERAL), 'script'];
    const names = [listOf(own, 'conditioners').map(one => one.name), listOf(own, 'guiders').map(one => one.name), scriptOf(own)];
    const told = JSON.stringify([names, kinds.map(offered), LW.facts().own?.unasked, LW.facts().own?.files, LW.facts().own?.parts]);
    if (view.told !== told) { view.told = told; build(tab, own); }
    for (const { row, lines, kind, number } of view.cards) {
      const { name, options, off } = listOf(own, kind)[number], b = part(row, 'switch'), total = listOf(own, kind).length;
      row.classList.toggle('off', Boolean(off));
      b.setAttribute('aria-checked', !off);
      all('[data-do="chosenup"], [data-do="chosendown"]', row).forEach(each => { each.hidden = total < 2; });
      LW.one('[data-do="chosenup"]', row).disabled = number === 0;
      LW.one('[data-do="chosendown"]', row).disabled = number === total - 1;
      lines.set(options ?? {});
      row.dataset.name = name;
    }
    if (view.script) view.script.value = scriptOf(own);
    view.lines?.set(own.scripts?.[scriptOf(own)] ?? {});
    const on = Object.keys(SEVERAL).flatMap(kind => listOf(own, kind).filter(one => !one.off)).length + (scriptOf(own) ? 1 : 0);
    const badge = part(view.root, 'count');
    badge.hidden = !on;
    badge.textContent = on;
    badge.title = `${on} chosen`;
  }
  ownBox.follow(draw);

  const at = b => { const { tab, kind, number } = b.closest('.chosen').dataset; return { tab, kind, number: +number }; };
  /* after a move or a removal the focus goes on with what was moved, or with what is next */
  function focus(tab, kind, number, what) {
    const rows = all(`#${tab}_chosen .chosen[data-kind="${kind}"]`), row = rows[Math.min(number, rows.length - 1)];
    const b = row && LW.one(`[data-do="${what}"]:not(:disabled)`, row) || row && part(row, 'switch');
    (b ?? LW.one(`#${tab}_${kind}_add`))?.focus();
  }
  function move(b, step, what) {
    const { tab, kind, number } = at(b), to = number + step;
    change(tab, kind, list => { const [one] = list.splice(number, 1); list.splice(to, 0, one); return list; });
    redraw(tab);
    focus(tab, kind, to, what);
  }
  /* two of one name that change places: the names are the same, their options are not */
  function redraw(tab) { tabs.get(tab).told = ''; draw(tab); }
  Object.assign(LW.actions, {
    chosenup: b => move(b, -1, 'chosenup'),
    chosendown: b => move(b, 1, 'chosendown'),
    chosenswitch(b) {
      const { tab, kind, number } = at(b);
      change(tab, kind, list => list.map((one, i) => i === number ? { ...one, off: !one.off || undefined } : one));
    },
    chosenremove(b) {
      const { tab, kind, number } = at(b);
      change(tab, kind, list => list.filter((_, i) => i !== number));
      redraw(tab);
      focus(tab, kind, number, 'chosenremove');
    },
  });

  LW.chosen = {
    mount(root, tab) {
      const before = tabs.get(tab);
      tabs.set(tab, { root, templates: { row: part(root, 'row'), picture: part(root, 'picture') }, told: '', cards: [], script: null, lines: null });
      before?.cards.forEach(each => each.lines.gone());
      ownBox.settle(tab);
    },
    drawAll() { for (const tab of tabs.keys()) draw(tab); },
  };
})();
