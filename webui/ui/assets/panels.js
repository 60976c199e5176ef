/* Panels of extensions: what their components say stands in the tab's own text, as {extras: {extension: {field: value}}}; see
   webui/ui/panels.py. A value that a component began with is left out. */
(() => {
  const kind = value => value === null || value === undefined ? 'null' : Array.isArray(value) ? 'list' : typeof value;
  const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

  LW.panels = {
    /* fields: [[extension, field, first value]]. The text with what the components say now; as it was where that is no news. */
    read(fields, text, values) {
      const own = LW.ownBox.read(text), extras = structuredClone(own.extras ?? {});
      fields.forEach(([extension, field, first], i) => {
        const { [field]: before, ...rest } = extras[extension] ?? {};
        extras[extension] = same(values[i], first) ? rest : { ...rest, [field]: values[i] };
        if (!Object.keys(extras[extension]).length) delete extras[extension];
      });
      return same(extras, own.extras ?? {}) ? text : LW.ownBox.text({ ...own, extras });
    },
    /* the components' values as the text says; one of another kind, which a component may not bear, is left out */
    fill(fields, text) {
      const { extras = {} } = LW.ownBox.read(text);
      const values = fields.map(([extension, field, first]) => {
        const value = extras[extension]?.[field] ?? first ?? null;
        return kind(first) === 'null' || kind(value) === kind(first) ? value : first;
      });
      return values.length === 1 ? values[0] : values;
    },
  };
})();
