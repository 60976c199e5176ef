/* What an empty tab offers to click. A click fills the tab and draws, so it is offered only while nothing was typed there (see
   style.css): nothing that somebody wrote is lost. The seed counts for that one picture; the next Generate has its own again. */
(() => {
  const { one, all, element, address } = LW;
  const once = new Map(); /* tab -> what counts for one press of Generate */

  /* list: [{prompt, seed, picture}] of the checkpoint in use */
  function draw() {
    const { examples = [] } = LW.facts(), key = JSON.stringify(examples);
    for (const list of all('.examples')) {
      if (list.dataset.key === key) continue;
      list.dataset.key = key;
      list.classList.toggle('plain', examples.every(({ picture }) => !picture));
      list.replaceChildren(...examples.map(({ prompt, seed, picture }) => {
        const card = element('button', { type: 'button', className: 'example' }, ...thumbs(picture), element('span', { textContent: prompt }));
        Object.assign(card.dataset, { do: 'example', prompt, seed });
        return element('li', {}, card);
      }));
    }
    drawTries();
  }
  /* tries: {tab: {words, values, seed, checkpoint, picture, mask, result}} for what comes with the program */
  function drawTries() {
    const { tries = {} } = LW.facts();
    for (const place of all('.try-place')) {
      const one = tries[place.dataset.tab], key = JSON.stringify(one ?? '');
      if (place.dataset.key === key) continue;
      place.dataset.key = key;
      if (!one) { place.replaceChildren(); continue; }
      const words = element('span', { className: 'try-words' }, element('strong', { textContent: 'Try it' }), element('span', { textContent: one.words }));
      if (one.checkpoint) words.append(element('span', { className: 'hint', textContent: `with ${one.checkpoint}` }));
      const card = element('button', { type: 'button', className: 'try' }, ...thumbs(one.picture), element('i', { className: 'try-to' }), ...thumbs(one.result), words);
      Object.assign(card.dataset, { do: 'try', tab: place.dataset.tab });
      place.replaceChildren(card);
    }
  }
  function thumbs(picture) {
    if (!picture) return [];
    const img = element('img', { alt: '', width: 160, height: 160, draggable: false, decoding: 'async' });
    img.onerror = () => img.remove(); /* of an older release, which this page still remembers */
    img.src = address(picture);
    return [img];
  }

  async function start(tab, values, only) {
    if (await LW.take.set(tab, values)) return;
    once.set(tab, only);
    one(`#${tab}_generate`).click();
  }
  LW.actions.try = async b => {
    const { tab } = b.dataset, one = LW.facts().tries[tab];
    b.disabled = true;
    try {
      const [blob, maskBlob] = await Promise.all([one.picture, one.mask].map(path => path && fetch(address(path)).then(answer => answer.blob())));
      await LW.painter.set(tab, { blob: new File([blob], 'Example', { type: blob.type }), maskBlob: maskBlob || undefined });
      await start(tab, one.values, { seed: one.seed, checkpoint: one.checkpoint });
    } catch { LW.note('Not connected'); } finally { b.disabled = false; }
  };
  LW.actions.example = b => start('txt2img', { prompt: b.dataset.prompt }, { seed: b.dataset.seed });

  /* what goes with a press of Generate */
  LW.given = async (tab, hasPicture) => {
    const only = once.get(tab);
    once.delete(tab);
    return { ...(hasPicture ? await LW.board.collect(tab, Boolean(only)) : {}), ...(only ? { once: only } : {}) };
  };
  LW.examples = { draw };
})();
