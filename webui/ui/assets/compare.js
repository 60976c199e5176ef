/* Before and after on one place: a line that mouse, finger and arrow keys move. LW.compare puts it onto a figure of the stage. */
(() => {
  const { one, element } = LW;
  const places = new Map(); /* tab -> where the line stands, in percent */

  function put(figure, percent) {
    const at = Math.min(100, Math.max(0, percent)), slider = one('.compare-at', figure);
    figure.style.setProperty('--at', `${at}%`);
    places.set(figure.dataset.tab, at);
    slider.value = at;
    slider.setAttribute('aria-valuetext', `${Math.round(at)}% before`);
  }
  function listen(figure) {
    let held = null;
    const move = event => {
      const box = figure.getBoundingClientRect();
      put(figure, 100 * (event.clientX - box.left) / box.width);
    };
    figure.addEventListener('pointerdown', event => {
      if (event.button !== 0 || !one('.compare-at', figure)) return;
      held = event.pointerId;
      figure.setPointerCapture(held);
      event.preventDefault();
      one('.compare-at', figure).focus({ preventScroll: true });
      move(event);
    });
    figure.addEventListener('pointermove', event => { if (event.pointerId === held) move(event); });
    for (const name of ['pointerup', 'pointercancel']) figure.addEventListener(name, () => { held = null; });
    figure.addEventListener('input', event => put(figure, +event.target.value));
  }

  /* place: {url, fit ('fill', 'cover' or 'contain'), inset: [top, right, bottom, left] in percent of the finished picture} */
  function on(figure, tab, { url, fit, inset }) {
    if (!one('.compare-at', figure)) {
      const before = element('img', { className: 'before', alt: 'Before', decoding: 'sync', draggable: false });
      const slider = element('input', { type: 'range', className: 'compare-at', min: 0, max: 100, step: 1 });
      slider.setAttribute('aria-label', 'Compare before and after');
      const line = element('i', { className: 'compare-line' });
      const words = ['Before', 'After'].map(textContent => element('span', { className: `compare-word ${textContent.toLowerCase()}-word`, textContent }));
      const over = element('div', { className: 'compare-over' }, before);
      figure.append(over, line, slider, ...words);
      if (!figure.dataset.tab) listen(figure);
      figure.dataset.tab = tab;
    }
    const before = one('.before', figure);
    if (before.src !== url) before.src = url;
    before.style.objectFit = fit;
    before.style.inset = inset.map(share => `${share}%`).join(' ');
    before.style.width = `${100 - inset[1] - inset[3]}%`;
    before.style.height = `${100 - inset[0] - inset[2]}%`;
    one('img:not(.before)', figure).draggable = false;
    figure.classList.add('comparing');
    put(figure, places.get(tab) ?? 50);
  }
  function off(figure) {
    for (const piece of figure.querySelectorAll('.compare-over, .compare-line, .compare-at, .compare-word')) piece.remove();
    figure.classList.remove('comparing');
    one('img', figure).draggable = true;
  }
  LW.compare = { on, off };
})();
