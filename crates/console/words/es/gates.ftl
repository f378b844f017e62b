# Las puertas: donde se aplican las sesiones.

gates-title = Puertas
gates-lead = Cada lugar que admite peticiones, y con qué cercanía sigue a esta autoridad.
gates-caption = Puertas conectadas
gates-none = No hay ninguna puerta conectada.
gates-denied = Solo los operadores de la instalación ven las puertas.
gates-denied-why = Las puertas sirven a todos los equipos, y sus nombres y direcciones dicen cómo está hecha la instalación. Los administradores del equipo de server.operators_tenant pueden verlas aquí, y los operadores con «portcullis gates list».
gates-denied-count = { $confirmed } de { $gates } puertas han aplicado el cambio más reciente que usted puede ver.
gates-denied-receipt = Su número aparece en el recibo de cada cierre de sesión: cuántas puertas lo han confirmado y en cuántos milisegundos.
gates-head = Cabeza del registro: revisión { $revision }
gates-of-one = Una puerta que sigue a dos autoridades tiene una línea por cada una.
gates-partial = No se pudieron leer las puertas de otras autoridades. Estas son las de la autoridad que respondió.
gates-omitted = { $count } flujos más no se muestran.
gates-column-name = Nombre
gates-column-version = Versión
gates-column-replica = Autoridad
gates-column-address = Dirección
gates-column-mode = Modo
gates-column-fresh = Al día desde
gates-column-lag = Retraso
gates-column-skew = Reloj
gates-column-streams = Flujos
gates-column-connected = Conectada
gates-mode-1 = Estricto
gates-mode-2 = Mejor esfuerzo
gates-mode-0 = Desconocido
gates-mode-2-why = No hay límite para ella: sigue admitiendo cuando queda aislada.
gates-lag =
    { $count ->
        [0] Al día
        [one] Una revisión de retraso
       *[other] { $count } revisiones de retraso
    }
gates-stale = Caduca
gates-fresh = Al día
gates-unproven = Sin prueba aún
gates-unknown = Desconocido
gates-ago = hace { $milliseconds } ms
gates-bound = { $milliseconds } ms
gates-skew = { $milliseconds } ms
gates-delays = De revocado a aplicado
gates-delays-hint = Una vez por minuto la autoridad abre una sesión propia, la termina y mide cuándo la ha soltado cada puerta. Estos son los retrasos de la última hora.
gates-delays-caption = Retrasos de la última hora
gates-delays-none = Aún no hay ninguna medición.
gates-delays-median = Mediana
gates-delays-p99 = Percentil 99
gates-delays-most = El más lento
gates-delays-missed = Después del límite de la puerta
gates-delays-up-to = Hasta { $milliseconds } ms
gates-delays-range = Retraso
gates-delays-gates = Mediciones
gates-delays-chart = { $count } mediciones: mediana { $median } ms, la más lenta { $most } ms.
gates-refresh = Actualizar
