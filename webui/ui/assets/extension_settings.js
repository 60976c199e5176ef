/* What an extension may be set to, in its card on the Extensions tab: a control for each setting, kept as soon as it is changed.
   And what it failed in while the program ran. Both are a stranger's words: they come in through textContent alone. */
(() => {
  const { part, element, address } = LW;
  const PATH = 'api/v1/extensions', PAUSE = 400, LONGEST = 600;
  const forms = new WeakMap(); /* card -> its controls, what was changed and not sent yet, the clock */

  function say(row, words, isBad) {
    const note = part(row, 'saved');
    note.classList.toggle('bad', isBad);
    note.textContent = words;
  }
  async function send(row, extension) {
    const form = forms.get(row), values = form.changed;
    form.changed = {};
    const path = address(`${PATH}/${encodeURIComponent(extension.name)}/settings`);
    const more = { method: 'PUT', body: JSON.stringify(values), headers: { 'Content-Type': 'application/json' } };
    const answer = await fetch(path, more).catch(() => null);
    const told = await answer?.json().catch(() => null);
    if (answer?.ok) return say(row, 'Saved.', false);
    say(row, told?.detail ?? 'The program did not answer, so nothing was saved.', true);
  }
  function changed(row, extension, option, value) {
    const form = forms.get(row);
    form.changed[option.name] = value === undefined ? option.default ?? null : value;
    clearTimeout(form.clock);
    form.clock = setTimeout(send, PAUSE, row, extension);
  }
  function trouble({ where, error, details, times }) {
    const words = `${where}: ${error}${times > 1 ? ` (${times} times)` : ''}`;
    const head = element('span', { textContent: words.length > LONGEST ? `${words.slice(0, LONGEST)} …` : words });
    if (!details) return element('li', { className: 'hint bad' }, head);
    const trace = element('pre', { textContent: details, tabIndex: 0 });
    trace.setAttribute('role', 'group');
    trace.setAttribute('aria-label', 'Traceback');
    return element('li', { className: 'hint bad' }, element('details', {}, element('summary', {}, head), trace));
  }

  const without = option => Object.fromEntries(Object.entries(option).filter(([, value]) => value !== null));

  LW.extensionSettings = {
    draw(row, extension, number) {
      const options = new Map(extension.settings.map(option => [option.name, option]));
      const change = (name, value) => changed(row, extension, options.get(name), value);
      const lines = LW.optionLines(`extension_${number}`, extension.settings.map(without), change);
      forms.set(row, { lines, changed: {}, clock: 0, troubles: '' });
      part(row, 'form').replaceChildren(...lines.rows);
      part(row, 'settings').hidden = !lines.rows.length;
    },
    /* as they are now, but for what the user is at */
    fill(row, extension) {
      const form = forms.get(row), told = JSON.stringify(extension.troubles);
      form.lines.set({ ...extension.values, ...form.changed });
      if (told === form.troubles) return;
      form.troubles = told;
      part(row, 'troubles').replaceChildren(...extension.troubles.map(trouble));
    },
  };
})();
