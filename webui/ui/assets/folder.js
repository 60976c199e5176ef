/* Many pictures, one job each: picked as a folder or one by one, uploaded at once, and from then on names that Generate hands
   in. They live as long as the browser tab. */
(() => {
  const { part, address } = LW;
  const MOST = 500, key = tab => `lw-folder-${tab}`;
  const roots = new Map(), PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?)$/i;
  const kept = tab => { try { return JSON.parse(LW.shelf('sessionStorage', key(tab))) ?? []; } catch { return []; } };

  function draw(tab, words = '', isBad = false) {
    const root = roots.get(tab), names = kept(tab);
    if (!root?.isConnected) return;
    const line = part(root, 'words');
    line.textContent = words || (names.length ? `${names.length} ${names.length === 1 ? 'picture' : 'pictures'}: Generate makes a job of each.` : 'Each picture becomes a job of its own, with these settings.');
    line.classList.toggle('bad', isBad);
    part(root, 'unfolder').hidden = !names.length;
  }
  async function take(tab, files) {
    const pictures = [...files].filter(file => PICTURE.test(file.name)).sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    if (!pictures.length) return draw(tab, 'There is no picture in it.', true);
    if (pictures.length > MOST) return draw(tab, `${pictures.length} pictures are too many. There can be ${MOST} at a time.`, true);
    const names = [], refused = [];
    for (const [i, file] of pictures.entries()) {
      draw(tab, `Reading ${i + 1} of ${pictures.length}`);
      try {
        const answer = await fetch(address('api/v1/inputs'), { method: 'POST', body: file, headers: { 'Content-Type': 'application/octet-stream' } });
        if (answer.ok) names.push((await answer.json()).name);
        else refused.push(file.name);
      } catch { return draw(tab, 'Not connected. Try again.', true); }
    }
    LW.shelf('sessionStorage', key(tab), JSON.stringify(names));
    draw(tab, refused.length ? `${names.length} pictures. Not read: ${refused.slice(0, 3).join(', ')}${refused.length > 3 ? ` and ${refused.length - 3} more` : ''}.` : '', refused.length > 0);
  }
  const tabOf = b => b.closest('.folder').dataset.tab;
  Object.assign(LW.actions, {
    folder: b => part(roots.get(tabOf(b)), 'folder-file').click(),
    several: b => part(roots.get(tabOf(b)), 'several-file').click(),
    unfolder(b) { LW.shelf('sessionStorage', key(tabOf(b)), '[]'); draw(tabOf(b)); },
  });
  LW.folder = {
    mount(holder, tab) {
      const root = LW.one('.folder', holder) ?? holder;
      roots.set(tab, root);
      root.addEventListener('change', event => {
        const files = [...event.target.files ?? []];
        event.target.value = '';
        if (files.length) take(tab, files);
      });
      draw(tab);
    },
    names: kept,
  };
})();
