# Sesiones de API: las claves de los programas.

api-title = Sesiones de API
api-lead = Claves de programas en { $tenant }. Una clave no es un inicio de sesión: cerrar la sesión de su dueño no la termina, deshabilitar al dueño sí.
api-caption = Claves de API, primero las más recientes
api-none = No hay ninguna clave de API.
api-none-ended = Ninguna clave está activa. También se pueden mostrar las terminadas.
api-read-only = Puede ver las claves, pero no cambiarlas. Un administrador puede crearlas y revocarlas.
api-show-ended = Mostrar también las terminadas
api-owner-filter = Dueño (id de usuario)
api-filter = Mostrar
api-filter-clear = Mostrar todos los dueños
api-new = Crear una clave…
api-column-key = Clave
api-column-owner = Dueño
api-column-last-used = Último uso
api-column-requests = Peticiones en 24 horas
api-column-state = Estado
api-column-created = Creada
api-column-expires = Caduca
api-column-scopes = Ámbitos
api-never-used = Nunca
api-never-expires = Nunca
api-state-1 = Activa
api-state-2 = Caducada
api-state-3 = Revocada
api-state-0 = Desconocido
api-scopes-none = Ninguno
api-ended = Terminó el { $time }
api-page-first = Primera página
api-page-next = Página siguiente
api-pages = Páginas
api-page-gone = Esta página de la lista ya no está disponible. Esta es la primera página.
api-sparkline =
    { $total ->
        [0] Ninguna petición en las últimas 24 horas.
        [one] Una petición en las últimas 24 horas.
       *[other] { $total } peticiones en las últimas 24 horas, máximo en una hora: { $most }.
    }

api-key-title = Clave de API { $name }
api-key-id = Id de la clave
api-hours = Peticiones por hora
api-hours-caption = Peticiones en cada hora de las últimas 24, primero la más antigua
api-hours-none = Ninguna petición en las últimas 24 horas.
api-hours-hour = Hora
api-hours-requests = Peticiones
api-revoke = Revocar esta clave…
api-back = Volver a la lista

api-new-title = Crear una clave de API
api-new-owner = Dueño (id de usuario)
api-new-owner-hint = De 1 a 128 bytes. Deshabilitar a este usuario termina la clave.
api-new-name = Nombre
api-new-name-hint = Para las personas: qué usa la clave. De 1 a 128 bytes.
api-new-scopes = Ámbitos
api-new-scopes-hint = Separados por espacios o líneas, como máximo 64. Vacío: ninguno.
api-new-audiences = Audiencias
api-new-audiences-hint = Separadas por espacios o líneas, como máximo 16. Vacío: las de la instalación.
api-new-expires = Caduca después de
api-expires-30 = 30 días
api-expires-90 = 90 días
api-expires-365 = 1 año
api-expires-never = Nunca (no recomendado)
api-new-reason = Motivo
api-new-reason-hint = Para el registro de auditoría. Como máximo 1024 bytes. Puede quedar vacío.
api-new-create = Crear la clave
api-cancel = Cancelar
api-created-title = La clave se ha creado
api-created-once = Copie ahora el secreto. Se muestra esta única vez: nadie puede volver a mostrarlo y no se guarda en ninguna parte.
api-created-secret = Secreto de { $name }
api-created-use = Los programas lo envían como «Authorization: Bearer …». No lo ponga en direcciones, registros ni código fuente.
api-created-done = Lo he copiado
api-again-title = Este formulario ya se envió
api-again = La clave que creó se mostró entonces, y su secreto se muestra una vez. Ahora no se ha hecho nada. Si el secreto no se copió, revoque esa clave y cree otra.
api-again-list = Ver las claves

api-revoke-title = ¿Revocar la clave { $name }?
api-revoke-what = Todo programa que la use será rechazado de inmediato en todas las puertas. No se puede deshacer.
api-revoke-reason = Motivo
api-revoke-confirm = Revocar la clave
api-revoked = La clave está revocada.
api-revoked-before = La clave ya había terminado. No se ha cambiado nada.

api-wrong = Corrija estos campos. No se ha creado nada.
api-wrong-revoke = Corrija este campo. No se ha revocado nada.
api-wrong-owner = Dueño: escriba un id de usuario de 1 a 128 bytes, sin caracteres de control.
api-wrong-name = Nombre: escriba de 1 a 128 bytes, sin caracteres de control.
api-wrong-scopes = Ámbitos: como máximo 64, de como máximo 128 caracteres ASCII visibles, sin comillas ni barras inversas.
api-wrong-audiences = Audiencias: como máximo 16, de como máximo 256 bytes.
api-wrong-expires = Elija cuándo caduca la clave.
api-wrong-reason = Motivo: como máximo 1024 bytes, sin caracteres de control.
api-wrong-disabled = El dueño está deshabilitado. Habilítelo primero o elija otro dueño.
api-wrong-quota = El equipo tiene tantas claves como puede tener. Revoque una primero.
api-wrong-other = La autoridad rechazó un valor ({ $field }).
