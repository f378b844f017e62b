# The rooms of administrators: users, sessions, and signing out many.

team-nav = Equipo
team-nav-users = Usuarios
team-nav-sessions = Sesiones

team-users = Equipo: usuarios
team-users-caption = Usuarios, { $order }
team-sessions = Equipo: sesiones
team-sessions-caption = Sesiones, { $order }
team-sessions-of = Sesiones de { $name }
team-total =
    { $count ->
        [one] Una sesión activa en { $tenant }
       *[other] { $count } sesiones activas en { $tenant }
    }
team-total-capped = Más de { $count } sesiones activas en { $tenant }
team-reading-only = Puede consultar, pero no cambiar nada. Un administrador puede terminar sesiones.
team-none-users = Ningún usuario coincide.
team-none-sessions = Ninguna sesión coincide.

# Finding
team-find-users = Buscar usuarios
team-find-sessions = Buscar sesiones
team-find = Buscar
team-find-clear = Mostrar todo
team-find-hint = Partes de nombres en cualquier orden; las mayúsculas y los acentos no importan.
team-field-user-name = Nombre de usuario
team-field-person-name = Nombre o apellido
team-field-email = Correo electrónico
team-field-network = Dirección al iniciar sesión
team-field-network-hint = Una dirección, o una red como 192.0.2.0/24
team-field-country-code = País
team-field-country-code-hint = Dos letras, como ES
team-field-device-type = Dispositivo
team-field-state = Estado
team-field-end-cause = Por qué terminó
team-field-signed-in-after = Último inicio de sesión desde
team-field-signed-in-before = Último inicio de sesión antes de
team-field-started-after = Sesión iniciada desde
team-field-started-before = Sesión iniciada antes de
team-field-last-active-after = Última actividad desde (día, UTC)
team-field-last-active-before = Última actividad antes de (día, UTC)
team-field-active-addresses-min = Activo ahora desde al menos tantas direcciones
team-field-active-addresses-min-hint = De 2 a 100
team-field-shown = Usuarios
team-shown-signed-in = Con sesiones activas
team-shown-all = Todos, también sin sesión y desactivados
team-any = Cualquiera
team-wrong = Corrija los campos marcados. No se ha buscado nada.
team-wrong-name = Como máximo 8 palabras y 256 caracteres, y no en blanco.
team-wrong-network = Escriba una dirección, o una red como 192.0.2.0/24.
team-wrong-country-code = Escriba dos letras, como ES.
team-wrong-time = Escriba una fecha válida. El comienzo no debe ser posterior al final.
team-wrong-active-addresses-min = Escriba un número de 2 a 100.

# Columns
team-column-select = Seleccionar
team-column-user-name = Nombre de usuario
team-column-person-name = Apellido y nombre
team-column-sign-in = Último inicio de sesión
team-column-sessions = Sesiones
team-column-last-active = Última actividad
team-column-addresses = Direcciones ahora
team-column-state = Estado
team-column-roles = Roles
team-column-user = Usuario
team-column-device = Dispositivo
team-column-place = Lugar
team-column-address = Dirección
team-column-signed-in = Inicio de sesión
team-order-sign-in = primero los inicios de sesión más recientes
team-order-user-name = por nombre de usuario
team-order-person-name = por apellido
team-order-sessions = primero quien tiene más sesiones
team-order-last-active = primero los últimos activos
team-order-start = primero las más recientes
team-order-user = por usuario
team-select-user = Seleccionar a { $name }
team-select-session = Seleccionar la sesión de { $name } en { $device }, iniciada { $time }
team-select-all = Seleccionar todo en esta página
team-select-none = No seleccionar nada
team-more = más de { $count }
team-never = Nunca
team-findings =
    { $count ->
        [one] Un hallazgo
       *[other] { $count } hallazgos
    }

# States
team-state-active-now = Activo ahora
team-state-idle = Inactivo
team-state-signed-out = Sin sesión
team-state-disabled = Desactivado
team-state-you = Usted
team-state-this = Su sesión
team-session-active = Activa
team-session-expired = Caducada
team-session-signed-out = Cerrada por el usuario
team-session-revoked = Terminada
team-session-any = Cualquiera, también terminadas
team-role-1 = Soporte
team-role-2 = Administrador
team-role-none = Ninguno

# Pages of lists
team-pages = Páginas
team-page = Página { $number }
team-page-previous = Página anterior
team-search-gone = Esta búsqueda ya no está disponible
team-search-gone-why = Su dirección la creó una consola anterior, o era para otra persona. No se ha cambiado nada.
team-search-again = Buscar de nuevo
team-page-gone = Esta página de la lista ya no está disponible. Esta es la primera página.

# Actions
team-end-selected = Terminar las sesiones seleccionadas…
team-end-matching = Terminar todas las que coinciden…
team-end-users = Terminar sesiones…
team-end-disable = Terminar y desactivar…
team-enable = Volver a activar…
team-end-all-of-user = Terminar todas las sesiones…

# One user
team-user = Usuario
team-user-id = Id. de usuario
team-user-created = Visto por primera vez
team-user-disabled = Desactivado { $time }. El usuario no puede iniciar ni renovar sesiones.
team-user-own = Esta es su propia cuenta. Otro administrador tiene que desactivarla o cambiar sus roles.
team-user-show-ended = Mostrar también las sesiones terminadas
team-user-hide-ended = Mostrar solo las sesiones activas
team-ended-why = { $cause }: { $reason }
team-roles = Roles
team-roles-what = Soporte consulta las sesiones, los usuarios, los ajustes y el registro de auditoría del equipo. Un administrador también puede cambiarlos.
team-roles-save = Cambiar los roles
team-roles-changed = Alguien cambió los roles entretanto. Abajo están los roles de ahora. No se ha cambiado nada.

# Before something ends
team-preview =
    { $count ->
        [0] Ninguna sesión está activa ahora.
        [one] Terminará una sesión.
       *[other] Terminarán { $count } sesiones.
    }
team-preview-capped = Terminarán más de { $count } sesiones.
team-preview-sample = Las más recientes
team-preview-later = Las sesiones que se abran antes de que confirme también terminarán.
team-force = Cierre forzado
team-force-what = Termina todas las sesiones de los usuarios. Pueden volver a iniciar sesión, salvo que los desactive.
team-force-users = Usuarios cuya sesión se cierra
team-force-ids = Ids. de usuario
team-force-ids-hint = Un id. por línea, como máximo 1000. También se cierra la sesión de los que aún no se conocen.
team-force-look = Ver qué terminará
team-force-one = Cerrar la sesión de { $name }
team-force-many =
    { $count ->
        [one] Cerrar la sesión de un usuario
       *[other] Cerrar la sesión de { $count } usuarios
    }
team-force-unknown = nunca ha iniciado sesión
team-force-own = Usted está entre ellos: también se cerrará su sesión.
team-force-own-disable = Usted está entre ellos. No puede desactivarse a sí mismo: tiene que hacerlo otro administrador.
team-force-confirm = Terminar las sesiones
team-force-disable = También desactivar: se rechazan nuevos inicios de sesión y terminan las claves de API
team-reason = Motivo
team-reason-hint = Para el registro de auditoría. Como máximo 1024 bytes.
team-message = Texto para el usuario
team-message-hint = El usuario lo ve cuando se cierra su sesión. Puede quedar vacío. Como máximo 1024 bytes.
team-wrong-reason = Escriba un motivo de 1024 bytes como máximo.
team-wrong-message = Como máximo 1024 bytes.
team-wrong-users = Indique de 1 a 1000 usuarios. Un id. tiene como máximo 128 bytes.
team-wrong-sessions = Seleccione al menos una sesión.
team-end = Terminar sesiones
team-end-what = Solo terminan estas sesiones. Los usuarios siguen conectados en otros lugares.
team-end-confirm = Terminar estas sesiones
team-matching = Terminar todas las sesiones que coinciden
team-matching-what = Termina como máximo 1000 a la vez, primero las más recientes. Las que coincidan más tarde permanecen.
team-matching-condition = { $field }: { $value }
team-enable-title = Volver a activar a { $name }
team-enable-what = El usuario puede volver a iniciar sesión. Las sesiones y claves de API terminadas siguen terminadas.
team-enable-not = Este usuario no está desactivado. No hay nada que deshacer.
team-enable-confirm = Activar al usuario
team-everyone = Cerrar la sesión de todo el equipo
team-everyone-what = Termina todas las sesiones en { $tenant }, también la suya. Todos tienen que volver a iniciar sesión.
team-everyone-type = Escriba { $tenant } para confirmar
team-everyone-confirm = Cerrar la sesión de todos
team-wrong-confirmation = Escriba el nombre exactamente: { $tenant }

# Afterwards
team-done = Hecho
team-done-ended =
    { $count ->
        [0] No quedaba nada que terminar: ninguna sesión estaba activa.
        [one] Se terminó una sesión.
       *[other] Se terminaron { $count } sesiones.
    }
team-done-ended-capped = Se terminaron más de { $count } sesiones.
team-done-disabled =
    { $count ->
        [one] El usuario está desactivado.
       *[other] { $count } usuarios están desactivados.
    }
team-done-enabled = El usuario puede volver a iniciar sesión.
team-done-roles = Los roles están en vigor: { $roles }.
team-done-unknown = Estos usuarios nunca han iniciado sesión, y lo más probable es que sean errores:
team-done-unknown-more =
    { $count ->
        [one] y uno más
       *[other] y { $count } más
    }
team-done-more = Hay más sesiones que coinciden.
team-done-more-again = Ver las demás…
team-done-own = Su propia sesión también ha terminado.
team-done-sign-in = Iniciar sesión de nuevo
team-back = Volver a la lista
team-back-user = Volver al usuario
