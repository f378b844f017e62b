# Sesiones de API: las claves de los programas.

api-sessions-title = Sesiones de API
api-sessions-lead = Claves de programas en { $tenant }. Una clave no es un inicio de sesión: cerrar la sesión de su dueño no la termina, deshabilitar al dueño sí.
api-sessions-caption = Claves de API, primero las más recientes
api-sessions-none = No hay ninguna clave de API.
api-sessions-none-ended = Ninguna clave está activa. También se pueden mostrar las terminadas.
api-sessions-read-only = Puede ver las claves, pero no cambiarlas. Un administrador puede crearlas y revocarlas.
api-sessions-show-ended = Mostrar también las terminadas
api-sessions-owner-filter = Dueño (id de usuario)
api-sessions-filter = Mostrar
api-sessions-filter-clear = Mostrar todos los dueños
api-sessions-new = Crear una clave…
api-sessions-column-key = Clave
api-sessions-column-owner = Dueño
api-sessions-column-last-used = Último uso
api-sessions-column-requests = Peticiones en 24 horas
api-sessions-column-state = Estado
api-sessions-column-created = Creada
api-sessions-column-expires = Caduca
api-sessions-column-scopes = Ámbitos
api-sessions-never-used = Nunca
api-sessions-never-expires = Nunca
api-sessions-state-1 = Activa
api-sessions-state-2 = Caducada
api-sessions-state-3 = Revocada
api-sessions-state-0 = Desconocido
api-sessions-scopes-none = Ninguno
api-sessions-ended = Terminó el { $time }
api-sessions-page-first = Primera página
api-sessions-page-next = Página siguiente
api-sessions-pages = Páginas
api-sessions-page-gone = Esta página de la lista ya no está disponible. Esta es la primera página.
api-sessions-sparkline =
    { $total ->
        [0] Ninguna petición en las últimas 24 horas.
        [one] Una petición en las últimas 24 horas.
       *[other] { $total } peticiones en las últimas 24 horas, máximo en una hora: { $most }.
    }

api-sessions-key-title = Clave de API { $name }
api-sessions-key-id = Id de la clave
api-sessions-hours = Peticiones por hora
api-sessions-hours-caption = Peticiones en cada hora de las últimas 24, primero la más antigua
api-sessions-hours-none = Ninguna petición en las últimas 24 horas.
api-sessions-hours-hour = Hora
api-sessions-hours-requests = Peticiones
api-sessions-revoke = Revocar esta clave…
api-sessions-back = Volver a la lista

api-sessions-new-title = Crear una clave de API
api-sessions-new-owner = Dueño (id de usuario)
api-sessions-new-owner-hint = De 1 a 128 bytes. Deshabilitar a este usuario termina la clave.
api-sessions-new-name = Nombre
api-sessions-new-name-hint = Para las personas: qué usa la clave. De 1 a 128 bytes.
api-sessions-new-scopes = Ámbitos
api-sessions-new-scopes-hint = Separados por espacios o líneas, como máximo 64. Vacío: ninguno.
api-sessions-new-audiences = Audiencias
api-sessions-new-audiences-hint = Separadas por espacios o líneas, como máximo 16. Vacío: las de la instalación.
api-sessions-new-expires = Caduca después de
api-sessions-expires-30 = 30 días
api-sessions-expires-90 = 90 días
api-sessions-expires-365 = 1 año
api-sessions-expires-never = Nunca (no recomendado)
api-sessions-new-reason = Motivo
api-sessions-new-reason-hint = Para el registro de auditoría. Como máximo 1024 bytes. Puede quedar vacío.
api-sessions-new-create = Crear la clave
api-sessions-cancel = Cancelar
api-sessions-created-title = La clave se ha creado
api-sessions-created-once = Copie ahora el secreto. Se muestra esta única vez: nadie puede volver a mostrarlo y no se guarda en ninguna parte.
api-sessions-created-secret = Secreto de { $name }
api-sessions-created-use = Los programas lo envían como «Authorization: Bearer …». No lo ponga en direcciones, registros ni código fuente.
api-sessions-created-done = Lo he copiado
api-sessions-again-title = Este formulario ya se envió
api-sessions-again = La clave que creó se mostró entonces, y su secreto se muestra una vez. Ahora no se ha hecho nada. Si el secreto no se copió, revoque esa clave y cree otra.
api-sessions-again-list = Ver las claves

api-sessions-revoke-title = ¿Revocar la clave { $name }?
api-sessions-revoke-what = Todo programa que la use será rechazado de inmediato en todas las puertas. No se puede deshacer.
api-sessions-revoke-reason = Motivo
api-sessions-revoke-confirm = Revocar la clave
api-sessions-revoked = La clave está revocada.
api-sessions-revoked-before = La clave ya había terminado. No se ha cambiado nada.

api-sessions-wrong = Corrija estos campos. No se ha creado nada.
api-sessions-wrong-revoke = Corrija este campo. No se ha revocado nada.
api-sessions-wrong-owner = Dueño: escriba un id de usuario de 1 a 128 bytes, sin caracteres de control.
api-sessions-wrong-name = Nombre: escriba de 1 a 128 bytes, sin caracteres de control.
api-sessions-wrong-scopes = Ámbitos: como máximo 64, de como máximo 128 caracteres ASCII visibles, sin comillas ni barras inversas.
api-sessions-wrong-audiences = Audiencias: como máximo 16, de como máximo 256 bytes.
api-sessions-wrong-expires = Elija cuándo caduca la clave.
api-sessions-wrong-reason = Motivo: como máximo 1024 bytes, sin caracteres de control.
api-sessions-wrong-disabled = El dueño está deshabilitado. Habilítelo primero o elija otro dueño.
api-sessions-wrong-quota = El equipo tiene tantas claves como puede tener. Revoque una primero.
api-sessions-wrong-other = La autoridad rechazó un valor ({ $field }).
