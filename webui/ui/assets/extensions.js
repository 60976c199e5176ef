/* The Extensions tab: asked for when the tab is first opened and after each restart. A name, a description, an error, a
   traceback are a stranger's words: they come in through textContent alone. */
(() => {
  const { part, element, one, all, address } = LW;
  const PATH = 'api/v1/extensions', LONGEST = 600, AT_MOST = 12;
  const TITLES = { failed: 'Did not start', running: 'Running', off: 'Off' }; /* in the order in which they stand */
  const LOCKED = 'The page is open to others without a login, so nothing can be switched here.';
  let root = null, shown = []; /* rows as the server tells them, in the order of the page */

  const stateOf = extension => extension.running ? 'running' : extension.error && extension.enabled ? 'failed' : 'off';
  const short = text => text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
  const ask = (path, more) => fetch(address(path), more).catch(() => null);

  function place({ origin, folder }) {
    if (origin === 'package') return 'an installed package';
    return `extensions/${folder}${origin === 'data' ? ', in the data folder' : ''}`;
  }
  /* "sampler A", "sampler B", "schedule C" become "samplers A, B · schedule C" */
  function offered(offers) {
    const kinds = new Map();
    for (const offer of offers) {
      const [kind] = offer.split(' ', 1);
      kinds.set(kind, [...kinds.get(kind) ?? [], offer.slice(kind.length + 1)]);
    }
    const plural = kind => kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : `${kind}s`;
    return [...kinds].map(([kind, names]) => `${names.length > 1 ? plural(kind) : kind} ${listed(names)}`).join(' · ');
  }
  const listed = names => names.slice(0, AT_MOST).join(', ') + (names.length > AT_MOST ? ` and ${names.length - AT_MOST} more` : '');

  function facts(extension) {
    const offers = extension.offers.filter(offer => !offer.startsWith('setting ')); /* settings stand in its form */
    const rows = [['Adds', offered(offers)], ['Needs', listed(extension.requirements)],
      ['Asks for', listed(extension.permissions)], ['From', place(extension)]];
    return rows.filter(([, words]) => words).flatMap(([title, words]) =>
      [element('dt', { textContent: title }), element('dd', { textContent: short(words) })]);
  }
  function line(extension, number) {
    const row = part(root, 'row').content.cloneNode(true).firstElementChild;
    row.classList.add(stateOf(extension));
    row.dataset.number = number;
    row.dataset.name = extension.name;
    part(row, 'name').textContent = extension.name;
    part(row, 'name').id = `extension_${number}`;
    part(row, 'version').textContent = short(extension.version);
    part(row, 'description').textContent = short(extension.description);
    part(row, 'description').hidden = !extension.description;
    part(row, 'error').textContent = short(extension.error);
    part(row, 'problem').hidden = !extension.error;
    part(row, 'details').textContent = extension.details;
    part(row, 'trace').hidden = !extension.details;
    part(row, 'facts').replaceChildren(...facts(extension));
    LW.extensionSettings.draw(row, extension, number);
    part(row, 'note').id = `extension_${number}_note`;
    const b = part(row, 'switch');
    b.setAttribute('aria-labelledby', `extension_${number}`);
    b.setAttribute('aria-describedby', `extension_${number}_note`);
    fill(row, extension);
    return row;
  }
  /* what a switch changes: the row stays, so that the focus stays and the note is read out */
  function fill(row, extension, problem = '') {
    const b = part(row, 'switch'), note = part(row, 'note');
    b.setAttribute('aria-checked', extension.enabled);
    b.disabled = !extension.can_switch;
    LW.extensionSettings.fill(row, extension);
    note.classList.toggle('bad', Boolean(problem));
    if (note.textContent !== (problem || extension.note)) note.textContent = problem || extension.note;
  }
  const rowOf = number => one(`.extension[data-number="${number}"]`, root);

  function draw(extensions) {
    const groups = Object.keys(TITLES).map(state => [state, extensions.filter(extension => stateOf(extension) === state)]);
    const found = groups.flatMap(([, mine]) => mine);
    const what = rows => JSON.stringify(rows.map(({ enabled, note, can_switch, values, troubles, ...rest }) => rest));
    const isSame = rowOf(0) && what(found) === what(shown);
    shown = found;
    if (isSame) return shown.forEach((extension, number) => fill(rowOf(number), extension));
    const parts = [];
    if (shown.some(extension => !extension.can_switch)) parts.push(element('p', { className: 'hint', textContent: LOCKED }));
    for (const [state, mine] of groups.filter(([, mine]) => mine.length)) {
      const rows = mine.map(extension => line(extension, shown.indexOf(extension)));
      parts.push(element('h3', { textContent: TITLES[state] }), element('ol', { className: 'jobs' }, ...rows));
    }
    parts.push(part(root, shown.length ? 'more' : 'none').content.cloneNode(true));
    part(root, 'list').replaceChildren(...parts);
    LW.installing.drawn();
  }
  async function load() {
    if (!root?.isConnected) return;
    const answer = await ask(PATH);
    const extensions = answer?.ok ? await answer.json().catch(() => null) : null;
    if (extensions) draw(extensions);
    else if (!shown.length) part(root, 'list').replaceChildren(element('p', { className: 'hint bad', textContent: 'The list of extensions could not be read. It is asked for again when the program answers.' }));
  }

  async function turn(b) {
    const row = b.closest('.extension'), extension = shown[row.dataset.number];
    if (b.ariaBusy === 'true') return;
    b.ariaBusy = 'true';
    b.setAttribute('aria-checked', !extension.enabled); /* at once; fill() puts it as it is */
    const body = JSON.stringify({ enabled: !extension.enabled });
    const answer = await ask(`${PATH}/${encodeURIComponent(extension.name)}/enabled`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    b.ariaBusy = 'false';
    if (answer?.ok) return load();
    const told = await answer?.json().catch(() => null);
    fill(row, extension, told?.detail ?? 'The program did not answer, so nothing was switched.');
  }
  LW.actions.extension = turn;
  LW.actions.copytrace = b => LW.copy(part(b.closest('details'), 'details').textContent);
  LW.views.push(event => { if (event.kind === 'snapshot') load(); }); /* the program may be another one now */
  LW.extensions = { mount(element) { root = element; shown = []; load(); } };
})();
