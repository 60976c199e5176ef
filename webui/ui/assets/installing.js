/* Installing on the Extensions tab. What is to be installed shows what it asks for, and waits for a yes; what is installed can be
   updated, rolled back and removed in its card. A name, a description, a permission are a stranger's words: textContent alone. */
(() => {
  const { part, element, all, address } = LW;
  const PATH = 'api/v1/extensions/changes', PAUSE = 400, LONGEST = 600;
  const ACTS = { install: 'Installing', update: 'Updating', rollback: 'Rolling back', remove: 'Removing' };
  let root = null, state = null, drawn = '', closed = '', clock = 0;

  const short = text => text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
  const template = name => LW.one(`template[data-part=${name}]`, root).content.cloneNode(true);
  const same = (one, other) => one.toLowerCase() === other.toLowerCase();

  async function ask(path, method = 'GET', body) {
    const more = { method, ...(body && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }) };
    const answer = await fetch(address(path), more).catch(() => null);
    const told = await answer?.json().catch(() => null);
    return { isOk: Boolean(answer?.ok && told), told: told ?? { detail: 'The program did not answer, so nothing was done.' } };
  }
  function refuse(words = '') {
    part(root, 'refusal').hidden = !words;
    part(root, 'refusal').textContent = words;
  }
  async function load() {
    if (!root?.isConnected) return;
    clearTimeout(clock);
    const { isOk, told } = await ask(PATH);
    if (!isOk) return;
    const isFirst = !state;
    state = told;
    if (isFirst && !['working', 'asking'].includes(state.change?.state)) closed = state.change?.id ?? ''; /* it was seen elsewhere */
    draw();
    if (state.change?.state === 'working') clock = setTimeout(load, PAUSE);
  }
  async function begin(wish) {
    refuse();
    const { isOk, told } = await ask(PATH, 'POST', wish);
    if (isOk) {
      closed = '';
      state = { ...state, change: told };
      draw();
      part(root, 'change').scrollIntoView({ block: 'nearest' });
    } else refuse(told.detail);
    load();
  }
  async function answer(method, path = '') {
    const { isOk, told } = await ask(`${PATH}/${encodeURIComponent(state.change.id)}${path}`, method);
    if (!isOk) refuse(told.detail);
    load();
  }

  /* the change */
  function facts(asks) {
    const marked = asks.permissions.map(one => asks.new_permissions.includes(one) ? `${one} (new)` : one);
    const rows = [['Asks for', marked.join(', ') || 'nothing by name'], ['Needs', asks.there.join(', ')],
      ['Installs', asks.missing.join(', ')], ['From', `${asks.source}, ${asks.what}`]];
    return rows.filter(([, words]) => words).flatMap(([title, words]) =>
      [element('dt', { textContent: title }), element('dd', { textContent: short(words) })]);
  }
  function asking({ asks, action }) {
    const card = template('asking').firstElementChild;
    part(card, 'name').textContent = asks.name;
    part(card, 'version').textContent = short(asks.replaces ? `${asks.replaces} → ${asks.version}` : asks.version);
    part(card, 'description').textContent = short(asks.description);
    part(card, 'description').hidden = !asks.description;
    part(card, 'facts').replaceChildren(...facts(asks));
    part(card, 'changed').hidden = !asks.is_changed;
    if (action === 'update') LW.one('span', part(card, 'yes')).textContent = 'Update';
    card.setAttribute('aria-label', `${asks.name}: what it asks for`);
    return card;
  }
  function ended({ state: how, outcome }) {
    const card = template('ended').firstElementChild;
    card.classList.add(how);
    part(card, 'outcome').textContent = short(outcome);
    return card;
  }
  function drawChange() {
    const { change } = state, box = part(root, 'change');
    const key = change ? `${change.id} ${change.state} ${closed}` : '';
    if (key !== drawn) {
      drawn = key;
      const hadFocus = box.contains(document.activeElement);
      const isShown = change && change.id !== closed;
      const make = { asking, working: () => template('working').firstElementChild }[change?.state] ?? ended;
      box.replaceChildren(...isShown ? [make(change)] : []);
      if (isShown && change.state === 'asking') box.firstElementChild.focus({ preventScroll: true });
      else if (hadFocus) part(root, 'source').focus({ preventScroll: true });
    }
    const doing = part(box, 'doing'), words = change?.doing || `${ACTS[change?.action]} ${change?.subject}`;
    if (doing && doing.textContent !== short(words)) doing.textContent = short(words);
  }

  /* what is installed */
  function tools(box, row) {
    const key = JSON.stringify([row, state.allowed, state.change?.state === 'working']);
    if (box.dataset.told === key) return;
    box.dataset.told = key;
    box.dataset.name = row?.name ?? '';
    box.dataset.before = row?.before ?? '';
    const made = row && state.allowed ? [...template('tools').children] : [];
    for (const b of made) {
      if (b.dataset.do === 'extensionback') {
        LW.one('span', b).textContent = row.is_removed ? 'Bring back' : `Roll back to ${short(row.before)}`;
        b.hidden = !row.before;
      } else b.hidden = row.is_removed;
      b.disabled = state.change?.state === 'working';
    }
    box.replaceChildren(...made);
    box.hidden = !made.length;
  }
  const cards = () => all('#extensions_list .extension[data-name]');
  function drawSource(list, words) {
    const old = LW.one('dd[data-source]', list);
    if ((old?.textContent ?? '') === words) return;
    old?.previousElementSibling.remove();
    old?.remove();
    if (!words) return;
    const value = element('dd', { textContent: words });
    value.dataset.source = '';
    list.append(element('dt', { textContent: 'Source' }), value);
  }
  function drawCard(card) {
    const row = state?.installed.find(one => same(one.name, card.dataset.name));
    const note = part(card, 'installed');
    if (!state || !note) return;
    if (note.textContent !== (row?.note ?? '')) note.textContent = row?.note ?? '';
    drawSource(part(card, 'facts'), row?.source && !row.is_removed ? short(`${row.source}, ${row.what}`) : '');
    tools(part(card, 'tools'), row);
  }
  function drawWaiting() {
    const known = cards().map(card => card.dataset.name), list = part(root, 'waiting');
    const rows = state.installed.filter(row => !known.some(name => same(name, row.name)));
    const key = JSON.stringify(rows.map(({ name, version, note }) => [name, version, note]));
    if (list.dataset.told !== key) {
      list.dataset.told = key;
      list.replaceChildren(...rows.map(row => {
        const entry = template('entry').firstElementChild;
        part(entry, 'name').textContent = row.name;
        part(entry, 'version').textContent = short(row.version);
        part(entry, 'entrynote').textContent = row.note;
        return entry;
      }));
      list.hidden = !rows.length;
    }
    [...list.children].forEach((entry, number) => tools(part(entry, 'tools'), rows[number]));
  }
  function draw() {
    if (!root?.isConnected || !state) return;
    part(root, 'line').hidden = !state.allowed;
    part(root, 'locked').hidden = state.allowed || !state.reason;
    part(root, 'locked').textContent = state.reason;
    part(root, 'begin').disabled = state.change?.state === 'working';
    drawChange();
    cards().forEach(drawCard);
    drawWaiting();
  }

  /* a second look before something goes */
  function sure(b, action, words, yes) {
    const box = b.closest('.install-tools');
    box.replaceChildren(...template('sure').children);
    part(box, 'words').textContent = words;
    part(box, 'sure').append(element('span', { textContent: yes }));
    part(box, 'sure').setAttribute('aria-label', `${yes}: ${box.dataset.name}`);
    Object.assign(part(box, 'sure').dataset, { action });
    part(box, 'sure').focus();
  }
  const named = b => b.closest('.install-tools').dataset.name;
  Object.assign(LW.actions, {
    installfrom() {
      const source = part(root, 'source').value.trim();
      if (source) begin({ action: 'install', source });
      else part(root, 'source').focus();
    },
    installyes(b) { b.disabled = true; part(root, 'source').value = ''; answer('POST', '/yes'); },
    installno(b) { b.disabled = true; answer('DELETE'); },
    installclose() { closed = state.change.id; draw(); },
    extensionupdate: b => begin({ action: 'update', name: named(b) }),
    extensionback(b) {
      const { name, before } = b.closest('.install-tools').dataset;
      sure(b, 'rollback', `Go back to version ${short(before)} of ${name}?`, 'Go back');
    },
    extensionaway: b => sure(b, 'remove', `Remove ${named(b)}? Its settings stay.`, 'Remove'),
    extensionsure: b => begin({ action: b.dataset.action, name: named(b) }),
    extensionkeep(b) {
      const box = b.closest('.install-tools');
      box.dataset.told = '';
      draw();
      LW.one('button:not([hidden])', box)?.focus();
    },
  });
  LW.views.push(event => { if (event.kind === 'snapshot') load(); }); /* the program may be another one now */
  LW.installing = {
    mount(element) {
      root = element;
      state = null;
      drawn = '';
      part(root, 'source').addEventListener('keydown', event => {
        if (event.key === 'Enter' && !event.ctrlKey && !event.metaKey) LW.actions.installfrom();
      });
      load();
    },
    /* the list of extensions was drawn anew */
    drawn() { if (root) draw(); },
  };
})();
