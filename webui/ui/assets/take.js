/* Settings that come onto a tab: sent from a picture, or offered by one that was dropped on a prompt field (or by text that was
   pasted there). Nothing is changed before it is taken. */
(() => {
  const { one, all, part, address } = LW;
  const offers = new Map(); /* tab -> what the server read */
  const waiting = new Map(); /* tab -> who waits for its controls, first first */
  let count = 0;
  const mark = () => `${Date.now()} ${count++}`;

  /* resolves when the tab's controls have the values: to "", or to why they were not taken */
  function set(tab, values) {
    return new Promise(done => {
      waiting.set(tab, [...waiting.get(tab) ?? [], done]);
      LW.setBox(`${tab}_take`, JSON.stringify({ values, n: mark() }));
    });
  }
  function taken(tab, answer) {
    if (answer?.message) LW.stage.say(tab, answer.message);
    else setTimeout(LW.countTokens, 50);
    waiting.get(tab)?.shift()?.(answer?.message ?? '');
  }

  function draw(tab) {
    const box = one(`.offer[data-tab="${tab}"]`), offer = offers.get(tab);
    if (!box) return;
    box.hidden = !offer;
    if (!offer) return;
    const isBad = Boolean(offer.message);
    part(box, 'title').textContent = isBad ? offer.message : offer.prompt || 'Settings without a prompt';
    for (const [name, text] of [['words', isBad ? '' : offer.words], ['notes', isBad ? '' : offer.notes.join(' ')]]) {
      part(box, name).textContent = text;
      part(box, name).hidden = !text;
    }
    for (const b of all('[data-do="take"]', box)) b.hidden = isBad;
  }
  const tabAt = target => target.closest?.('[id$=_prompt]')?.id.split('_')[0];
  function ask(tab, what) { LW.setBox('said', JSON.stringify({ tab, n: mark(), ...what })); }

  async function read(tab, file) {
    try {
      const answer = await fetch(address('api/v1/inputs'), { method: 'POST', body: file, headers: { 'Content-Type': 'application/octet-stream' } });
      const told = await answer.json();
      if (answer.ok) return ask(tab, { name: told.name });
      offers.set(tab, { message: told.detail });
      draw(tab);
    } catch { LW.note('Not connected'); }
  }
  /* a picture that is dragged out of this page brings its address, which has the file's own bytes */
  async function fileIn(data) {
    const url = data.getData('text/uri-list').split('\n')[0];
    if (url.startsWith(address(''))) {
      const answer = await fetch(url.replace(/(api\/v1\/jobs\/[^/]+\/images\/\d+)\.jpg$/, '$1.png'));
      if (answer.ok) return answer.blob();
    }
    return data.files[0];
  }

  const hasFile = data => [...data?.types ?? []].some(type => type === 'Files' || type === 'text/uri-list');
  for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) document.addEventListener(name, event => {
    const tab = hasFile(event.dataTransfer) && tabAt(event.target);
    if (!tab) return;
    const field = event.target.closest('.field');
    field?.classList.toggle('over', name === 'dragenter' || name === 'dragover');
    if (name !== 'dragleave') event.preventDefault();
    if (name === 'drop') { event.stopPropagation(); fileIn(event.dataTransfer).then(file => file && read(tab, file)); }
  }, true);
  /* anywhere else, a dropped file must not take the place of the page */
  for (const name of ['dragover', 'drop']) addEventListener(name, event => { if ([...event.dataTransfer?.types ?? []].includes('Files')) event.preventDefault(); });
  document.addEventListener('paste', event => {
    const tab = event.target.matches?.('[id$=_prompt] textarea') && tabAt(event.target), data = event.clipboardData;
    if (!tab) return;
    const text = data.getData('text/plain');
    if (/^Steps: \d+, \w/m.test(text)) { event.preventDefault(); event.stopImmediatePropagation(); ask(tab, { text }); }
  }, true);

  Object.assign(LW.actions, {
    take(b) {
      const { tab } = b.closest('.offer').dataset, { values } = offers.get(tab);
      const only = b.dataset.what === 'prompt' ? { prompt: values.prompt, negative_prompt: values.negative_prompt } : values;
      set(tab, only);
      offers.delete(tab);
      draw(tab);
      LW.note('Taken');
      const url = name => address(`api/v1/inputs/${encodeURIComponent(name)}`);
      if (b.dataset.what === 'all' && values.image && LW.board.has(tab)) LW.painter.set(tab, { imageUrl: url(values.image), ...(values.mask && tab === 'inpaint' ? { maskUrl: url(values.mask) } : {}) });
    },
    leave(b) { const { tab } = b.closest('.offer').dataset; offers.delete(tab); draw(tab); },
  });
  LW.take = { set, taken, offer(answer) { if (answer?.tab) { offers.set(answer.tab, answer); draw(answer.tab); } } };
})();
